"""Pays for the words of thinking: verification, backtracking, subgoals, alternatives."""

from rlsp_cli.rewards import Sample, behaviour_counts, exploration_reward


@exploration_reward
def cognitive_behaviors(
    sample: Sample,
    *,
    verify: float = 1.0,
    backtrack: float = 1.0,
    subgoal: float = 1.0,
    alternative: float = 1.0,
    self_correction: float = 0.0,
    cap: int = 3,
    lexicon: str | None = None,
) -> float:
    """Weighted mean of min(count, cap) / cap over the behaviours of the lexicon, 0 to 1.

    The behaviours follow Four Habits (2503.01307); the form is ours, the words are in
    plugins/behaviour, or in the folder or file `lexicon`. It pays for words, which a model can say
    without thinking: watch accuracy.
    """
    weights = {
        "verify": verify,
        "backtrack": backtrack,
        "subgoal": subgoal,
        "alternative": alternative,
    }
    weights["self_correction"] = self_correction
    counts = behaviour_counts(sample.response, lexicon)
    total = sum(weights.values())
    return (
        sum(weight * min(counts.get(name, 0), cap) / cap for name, weight in weights.items())
        / total
        if total
        else 0.0
    )
