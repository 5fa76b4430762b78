"""95% intervals. Problems are the unit: samples of one problem are not independent."""

import math
import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_Z = 1.959964
_RESAMPLES = 2000


class Interval(NamedTuple):
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, total: int) -> Interval:
    """A share of independent yes/no outcomes (Wilson, 1927)."""
    share, z2 = successes / total, _Z**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def bootstrap_mean(per_problem: Sequence[float]) -> Interval:
    """A mean over problems, by resampling problems (percentile bootstrap with a fixed seed)."""
    rng, n = random.Random(0), len(per_problem)
    means = sorted(statistics.fmean(rng.choices(per_problem, k=n)) for _ in range(_RESAMPLES))
    cut = round(0.025 * _RESAMPLES)
    return Interval(statistics.fmean(per_problem), means[cut], means[-cut - 1])


def mean_share(per_problem: Sequence[float]) -> Interval:
    """A mean over problems of shares of 1: Wilson's interval where each is 0 or 1, else the bootstrap.

    Resampling problems that are all 0 (or all 1) gives a width of 0, which says nothing about the next problem.
    """
    if set(per_problem) <= {0.0, 1.0}:
        return wilson(round(sum(per_problem)), len(per_problem))
    return bootstrap_mean(per_problem)


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Mean of after - before over the same problems, by resampling problems."""
    return bootstrap_mean([b - a for a, b in zip(before, after, strict=True)])
