"""95% intervals of means over problems. Problems are the unit: samples of one problem are not independent."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.evals.statistics.beta import beta_quantile

_UPPER = 0.975


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


def mean_share(per_problem: Sequence[float]) -> Estimate:
    """The mean over problems of numbers from 0 to 1, as an estimate of the mean over all problems of their kind.

    Where each problem is 0 or 1, this is the interval of Clopper and Pearson (1934).
    """
    return bounded_mean(per_problem, min(0.0, *per_problem), max(1.0, *per_problem))


def bounded_mean(per_problem: Sequence[float], least: float, most: float) -> Estimate:
    """The mean over all problems of a kind, of numbers that lie between `least` and `most` for each problem.

    The upper limit allows for one more problem with `most`, the lower one for one with `least`: n
    problems say little about problems so rare that fewer than one in n is like them.
    """
    value, width = statistics.fmean(per_problem), most - least
    high = least + width * _upper_limit([(number - least) / width for number in per_problem])
    low = most - width * _upper_limit([(most - number) / width for number in per_problem])
    return Estimate(value, min(low, value), max(high, value))  # which they enclose up to rounding


def _upper_limit(per_problem: Sequence[float]) -> float:
    """Gaffke's bound of a mean (2005): a quantile of the Bayesian bootstrap with one invented problem, a 1.

    The bootstrap's distribution is approximated by the beta distribution of its mean and variance;
    exact for 0 and 1.
    """
    values = [*per_problem, 1.0]
    mean = statistics.fmean(values)
    variance = statistics.pvariance(values, mean) / (len(values) + 1)
    if variance < 1e-30:
        return mean

    size = mean * (1 - mean) / variance - 1
    return beta_quantile(mean * size, (1 - mean) * size, _UPPER)
