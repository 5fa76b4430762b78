"""95% intervals of means over problems.

Problems are the unit that is drawn: several samples of one problem are not independent.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.evals.statistics.beta import beta_quantile

_UPPER = 0.975
"""Each limit is one-sided at 97.5%; together they make a 95% interval."""
_NO_VARIANCE = 1e-30
"""Variance that only rounding leaves, where all values are equal."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


def mean_share(per_problem: Sequence[float]) -> Estimate:
    """Estimate the mean over all problems of a kind from numbers of 0 to 1, one a problem.

    If every number is 0 or 1, this is the interval of Clopper and Pearson (1934).
    """
    # The linearised ratio of `check_levels` can leave [0, 1]; then the bounds follow it.
    return bounded_mean(per_problem, min(0.0, *per_problem), max(1.0, *per_problem))


def bounded_mean(per_problem: Sequence[float], least: float, most: float) -> Estimate:
    """Estimate the mean over all problems of a kind from numbers of `least` to `most`.

    There is one number for each problem. The upper limit allows for one more problem with `most`,
    the lower one for one with `least`: n problems say little about problems so rare that fewer than
    one in n is like them.
    """
    value, width = statistics.fmean(per_problem), most - least

    # One bound serves both sides: the lower limit is the upper limit of the mirrored numbers.
    high = least + width * _upper_limit([(number - least) / width for number in per_problem])
    low = most - width * _upper_limit([(most - number) / width for number in per_problem])

    # The mean lies between the limits but for rounding, which min and max undo.
    return Estimate(value, min(low, value), max(high, value))


def _upper_limit(per_problem: Sequence[float]) -> float:
    """Gaffke's upper bound of a mean (2005), for numbers of 0 to 1.

    It is a quantile of the Bayesian bootstrap of the numbers and an invented 1. The bootstrap's
    distribution is approximated by the beta distribution with its mean and variance, which is exact
    if every number is 0 or 1.
    """
    values = [*per_problem, 1.0]
    mean = statistics.fmean(values)
    # Dirichlet weights of n values, each with parameter 1: Var(mean) = pvariance / (n + 1).
    variance = statistics.pvariance(values, mean) / (len(values) + 1)
    if variance < _NO_VARIANCE:
        return mean

    # Method of moments: Var = mean (1 - mean) / (size + 1), where size is a + b of Beta(a, b).
    size = mean * (1 - mean) / variance - 1
    return beta_quantile(mean * size, (1 - mean) * size, _UPPER)
