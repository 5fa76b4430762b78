"""Quantiles of Student's t, which the standard library lacks."""

import math
from functools import cache

from rlsp_cli.evals.statistics.beta import beta_quantile


@cache
def t_quantile(share: float, freedom: int) -> float:
    """Student's t quantile, for shares above one half.

    With x = freedom / (freedom + t^2), P(T > t) = I_x(freedom / 2, 1/2) / 2.
    """
    x = beta_quantile(freedom / 2, 0.5, 2 * (1 - share))
    return math.sqrt(freedom * (1 - x) / x)
