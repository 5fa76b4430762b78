"""Pays for going another way than the other responses to the same prompt."""

from collections.abc import Sequence
from statistics import fmean

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def novelty(group: Sequence[Sample], *, n: int = 3) -> list[float | None]:
    """1 - mean Jaccard similarity of the n-grams of words with the others of the group, 0 to 1; alone it abstains."""
    grams = [_grams(sample.response.lower().split(), n) for sample in group]
    return [
        1 - fmean(_jaccard(own, other) for j, other in enumerate(grams) if j != i)
        if len(grams) > 1
        else None
        for i, own in enumerate(grams)
    ]


def _grams(words: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))}


def _jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)
