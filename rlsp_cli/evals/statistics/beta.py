"""The beta distribution's quantiles, which the standard library has not."""

import math

_HALVINGS = 52
_TINY = 1e-300


def beta_quantile(a: float, b: float, share: float) -> float:
    """Where the distribution function of Beta(a, b) reaches `share`, by halving the range."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = beta_cdf(middle, a, b) < share
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function at 0 < x < 1, by its continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):  # it converges fast below the mean
        return 1 - beta_cdf(1 - x, b, a)

    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))), from the front (Lentz' method as modified by Thompson and Barnett)."""
    value, top, bottom = 1.0, 1.0, 0.0
    change, n = 0.0, 0
    while abs(change - 1) > 1e-13:
        n += 1
        term = _term(n, x, a, b)
        bottom = 1 / (1 + term * bottom or _TINY)
        top = 1 + term / top or _TINY
        change = top * bottom
        value *= change
    return 1 / value


def _term(n: int, x: float, a: float, b: float) -> float:
    m = n // 2
    if n % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
