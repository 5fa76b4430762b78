"""Reward responses that a tool has helped."""

from rlsp_cli.rewards import Sample, exploration_reward, is_right


@exploration_reward
def tool_use(sample: Sample, *, most: int = 1, only_right: bool = True) -> float:
    """Share of `most` that the answers of a tool in the response reach, 0 to 1.

    With `only_right` 0 unless the verifier accepts the response: a bonus for the call alone would pay
    for idle calls. After Tool-Star (2505.16410), which adds 0.1 to a right answer for which several
    tools were used; here every answer of the recipe's continuation counts.
    """
    if only_right and not is_right(sample.correct):
        return 0.0
    answers = len(sample.turns.foreign) if sample.turns else 0
    return min(answers / most, 1.0)
