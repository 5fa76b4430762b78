"""Reward responses that differ from the others to the same prompt."""

from collections.abc import Sequence
from statistics import fmean

from rlsp_cli.rewards import Sample, exploration_reward, jaccard, ngrams


@exploration_reward
def novelty(group: Sequence[Sample], *, n: int = 3) -> list[float | None]:
    """How much a response differs from the others of its group, 0 to 1; alone it abstains.

    1 - mean Jaccard similarity of its n-grams of words with those of each other response.
    """
    if len(group) == 1:
        return [None]

    grams = [ngrams(sample.response.lower().split(), n) for sample in group]
    rewards: list[float | None] = []
    for i, own in enumerate(grams):
        others = grams[:i] + grams[i + 1 :]
        rewards.append(1 - fmean(jaccard(own, other) for other in others))
    return rewards
