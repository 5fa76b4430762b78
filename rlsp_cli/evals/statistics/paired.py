"""A difference on the same problems: p-value and 95% interval from one set of random halves.

Flipping the signs of a half of the problems takes twice that half's sum out of the total. So the
halves that a sign test draws are also the halves whose means give the interval.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlsp_cli.evals.statistics.interval import Estimate, bounded_mean

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
FEWEST = 6
"""Problems that must differ before p can reach 5%: with five of one sign, it is 2 of 2^5."""

_EXACT = 16
"""Up to this many problems that differ, every half of them is taken."""
_HALVES = 10_000
"""Random halves that are drawn if more problems differ."""

_SAME_SHARE = 12
"""Decimals to which differences are equal: 2/3 - 1/3 and 1/3 differ by rounding alone."""
_SAME_SUM = 9
"""Decimals to which sums of differences are equal; they add up the rounding of their terms."""


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
    """Test whether the mean over problems of differences from -1 to 1 is 0, and estimate it.

    p (two-sided) is how often random signs of the differences give a mean at least as far from 0.
    Flipping the signs of half the problems lowers the sum if that half's mean is above 0, so the
    interval that inverts the test runs between two quantiles of the means of random halves
    (Hartigan, 1969). Such an interval knows only the problems that were seen. Where that does not
    contradict p, it is widened to the limits of `bounded_mean`, which allow for one more problem
    that differs as much as any.
    """
    differences = [round(difference, _SAME_SHARE) for difference in differences]
    value = statistics.fmean(differences)

    # Mirrored, so that exchanging the models gives the mirrored result to the last digit.
    if value < 0:
        other = paired([-difference for difference in differences])
        return Paired(value, -other.high, -other.low, other.p, other.differ)

    sums, sizes = _halves(differences)
    p = min(1.0, 2 * float((sums <= 0).mean()))
    low, high = _between(sums, sizes)

    # A wider lower limit of 0 or less would deny what p says, so then it stays where it is.
    wide = allowing_for_another(differences)
    low = min(low, value if p <= LEVEL and wide.low <= 0 else wide.low)
    return Paired(value, low, max(high, wide.high), p, sum(map(bool, differences)))


def _between(sums: "np.ndarray", sizes: "np.ndarray") -> tuple[float, float]:
    """The least and the greatest difference that the test does not reject."""
    import numpy as np

    rank = int(LEVEL / 2 * len(sums))
    means = np.sort(sums[sizes > 0] / sizes[sizes > 0])

    # A half without problems has no mean. Its sum is 0 whatever the difference, which makes it
    # extreme for every difference, so it uses up part of the 2.5% on both sides.
    rank -= len(sums) - len(means)
    return (float(means[rank]), float(means[-rank - 1])) if rank >= 0 else (0.0, 0.0)


def _halves(differences: Sequence[float]) -> tuple["np.ndarray", "np.ndarray"]:
    """Sums and sizes of halves of the problems: every half of those that differ, or 10,000 halves.

    A half is a random subset with each problem in it by a chance of 1/2, not one of a fixed size.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    times = Counter(differences)
    same = times.pop(0.0, 0)
    every = sum(times.values()) <= _EXACT

    # Problems that do not differ add nothing to a sum, but they count in the size of a half. They
    # are drawn even if the others are enumerated.
    count = 2**_EXACT if every else _HALVES
    sums, sizes = np.zeros(count), rng.binomial(same, 0.5, count)

    halves = np.arange(count)
    if every:
        # Bit i of a half's number says whether problem i is in it.
        members = [(value, halves >> bit & 1) for bit, value in enumerate(times.elements())]
    else:
        # Equal differences are drawn together: a bench of 10,000 problems has few different ones.
        members = [
            (value, rng.binomial(several, 0.5, count)) for value, several in sorted(times.items())
        ]

    for value, chosen in members:
        sums, sizes = sums + value * chosen, sizes + chosen

    # The signs as they are belong to the set: p is never 0 (Phipson and Smyth, 2010).
    sums[0] = sizes[0] = 0
    return sums.round(_SAME_SUM), sizes


def allowing_for_another(differences: Sequence[float]) -> Estimate:
    """The mean, with limits that allow for one more problem that differs as much as any."""
    # Where none differs, one more problem may differ by all that a difference can be.
    most = max(map(abs, differences)) or 1.0
    return bounded_mean(differences, -most, most)
