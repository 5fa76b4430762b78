"""Quantiles of the beta distribution, which the standard library lacks."""

import math

# [0, 1] halved 52 times is as fine as a float's 52 bits of mantissa.
_HALVINGS = 52

_TOLERANCE = 1e-13
"""Relative change of the continued fraction at which it has converged."""
_TINY = 1e-300
"""Takes the place of a denominator that is 0, in Lentz' method."""


def beta_quantile(a: float, b: float, share: float) -> float:
    """The x at which the distribution function of Beta(a, b) reaches `share`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = beta_cdf(middle, a, b) < share
        low, high = (middle, high) if below else (low, middle)

    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for 0 < x < 1 (DLMF 8.17.22)."""
    # The continued fraction converges fast below about the mean. Above it, DLMF 8.17.4 helps:
    # I_x(a, b) = 1 - I_{1-x}(b, a).
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)

    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))) by Lentz' method, as Thompson and Barnett modified it."""
    value, top, bottom = 1.0, 1.0, 0.0
    change, n = 0.0, 0
    while abs(change - 1) > _TOLERANCE:
        n += 1
        term = _term(n, x, a, b)

        bottom = 1 / (1 + term * bottom or _TINY)
        top = 1 + term / top or _TINY

        change = top * bottom
        value *= change

    return 1 / value


def _term(n: int, x: float, a: float, b: float) -> float:
    """The n-th coefficient of the continued fraction, d_n in DLMF 8.17.23."""
    m = n // 2
    if n % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
