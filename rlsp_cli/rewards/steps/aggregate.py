"""One number for a response, from the scores of its steps."""

import math
import statistics
from collections.abc import Callable, Sequence

_SMALLEST = 1e-12
"""A geometric mean has no logarithm of 0."""


def aggregate(scores: Sequence[float | None], how: str) -> float | None:
    """The known scores as one number; None when every step abstained."""
    known = [score for score in scores if score is not None]
    return AGGREGATES[how](known) if known else None


def _geometric_mean(scores: Sequence[float]) -> float:
    logs = [math.log(max(score, _SMALLEST)) for score in scores]
    return math.exp(statistics.fmean(logs))


AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "product": math.prod,
    "last": lambda scores: scores[-1],
    "mean": statistics.fmean,
    "sum": math.fsum,
    "max": max,
    "geometric_mean": _geometric_mean,
}
"""Of the scores of a response's steps, at least one (min, product, last, mean: arXiv 2408.03314; max
and geometric mean: RewardMATH, 2410.01729)."""
