"""How much two texts share, by their n-grams."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet


def ngrams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """All different sequences of `n` words; of fewer words, the one sequence of all of them."""
    starts = range(max(len(words) - n + 1, 1))
    return {tuple(words[start : start + n]) for start in starts}


def jaccard(left: AbstractSet[object], right: AbstractSet[object]) -> float:
    """Jaccard index: the share of the members of either set that both have; 1 for empty sets."""
    either = left | right
    return len(left & right) / len(either) if either else 1.0
