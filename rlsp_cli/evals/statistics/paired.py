"""A difference on the same problems: p-value and 95% interval from one set of random halves of the problems."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlsp_cli.evals.statistics.interval import Estimate, bounded_mean

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
FEWEST = 6
"""Problems that must differ before 5% can be reached: with five of one sign, p is 2 of 2^5."""
_EXACT = 16
"""Problems that differ, up to which every half of them is taken."""
_HALVES = 10_000


class Paired(NamedTuple):
    """A mean difference with its 95% interval, its p-value and the number of problems that differ.

    The interval leaves out 0 where p is at most 0.05, and nowhere else.
    """

    value: float
    low: float
    high: float
    p: float
    differ: int


def paired(differences: Sequence[float]) -> Paired:
    """The mean over problems of differences that are at least -1 and at most 1, and whether it is 0.

    p (two-sided) is how often turning the signs of the differences at random gives a mean at least
    as far from 0. To turn the signs of a half of the problems lessens the sum when that half's mean
    is above 0; so the interval that inverts the test runs between two quantiles of the means of
    random halves (Hartigan, 1969). It knows no problems but those that were seen. Where that does
    not contradict p, it is widened to the limits of `bounded_mean`, which allow for another problem
    that differs as much as any.
    """
    differences = [round(difference, 12) for difference in differences]
    value = statistics.fmean(differences)
    if value < 0:  # so that exchanging the models mirrors everything
        other = paired([-difference for difference in differences])
        return Paired(value, -other.high, -other.low, other.p, other.differ)

    sums, sizes = _halves(differences)
    p = min(1.0, 2 * float((sums <= 0).mean()))
    low, high = _between(sums, sizes)

    wide = _allowing_for_another(differences)
    low = min(low, value if p <= LEVEL and wide.low <= 0 else wide.low)
    return Paired(value, low, max(high, wide.high), p, sum(map(bool, differences)))


def _between(sums: "np.ndarray", sizes: "np.ndarray") -> tuple[float, float]:
    """What differences the test does not reject; the half without problems is extreme for all of them."""
    import numpy as np

    rank = int(LEVEL / 2 * len(sums))
    means = np.sort(sums[sizes > 0] / sizes[sizes > 0])
    rank -= len(sums) - len(means)
    return (float(means[rank]), float(means[-rank - 1])) if rank >= 0 else (0.0, 0.0)


def _halves(differences: Sequence[float]) -> tuple["np.ndarray", "np.ndarray"]:
    """Sums and sizes of random halves of the problems: every half of those that differ, or 10,000 halves."""
    import numpy as np

    rng = np.random.default_rng(0)
    times = Counter(differences)
    same = times.pop(0.0, 0)
    every = sum(times.values()) <= _EXACT

    count = 2**_EXACT if every else _HALVES
    sums, sizes = np.zeros(count), rng.binomial(same, 0.5, count)
    halves = np.arange(count)
    if every:
        members = [(value, halves >> bit & 1) for bit, value in enumerate(times.elements())]
    else:
        members = [
            (value, rng.binomial(several, 0.5, count)) for value, several in sorted(times.items())
        ]
    for value, chosen in members:
        sums, sizes = sums + value * chosen, sizes + chosen

    sums[0] = sizes[0] = 0  # the signs as they are belong to the turns (Phipson and Smyth, 2010)
    return sums.round(9), sizes


def _allowing_for_another(differences: Sequence[float]) -> Estimate:
    most = max(map(abs, differences)) or 1.0
    return bounded_mean(differences, -most, most)
