"""Penalise repetition."""

from rlsp_cli.rewards import Sample, exploration_reward, is_right, repetition


@exploration_reward
def repetition_penalty(
    sample: Sample, *, n: int = 4, penalty: float = -1.0, only_wrong: bool = False
) -> float:
    """A penalty for repeated n-grams of words.

    `penalty` * (1 - distinct / all n-grams); 0 for a response of fewer than n words. After
    2502.03373; `only_wrong` leaves right answers alone, as that paper does.
    """
    if only_wrong and is_right(sample.correct):
        return 0.0
    return penalty * repetition(sample.response.lower(), n)
