"""A mixture of two Weibull distributions, fitted by expectation maximisation.

RPC (2502.00511) tells likely from unlikely reasoning paths by it. Its authors fit it with scipy,
which rlsp does not depend on; two components need no more than Newton's method for the shapes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

_SHARE = (0.2, 0.8)
"""Bounds of the components' weights, as in the code that RPC's authors published."""
_SHAPE = (0.01, 1000.0)
"""Bounds of the shape; without the upper one a component can shrink to a point."""

_EM_STEPS = 500
_EM_TOLERANCE = 1e-9
"""Gain of log-likelihood per value below which the fit has converged."""
_NEWTON_STEPS = 50
_NEWTON_TOLERANCE = 1e-10
"""Relative change of the shape below which Newton's method has converged."""

_LEAST_SHARE = 1e-12
"""Least share of a value that a component has: it must never lose all of its values."""
_FIRST_SHARES = (0.1, 0.9)
"""Shares that the component `high` starts with, of the lower and the upper half of the values."""
_MOST_EXPONENT = 700.0
"""e^709 is the greatest power of e that a float holds."""


class Weibull(NamedTuple):
    """Density shape/scale * (x/scale)^(shape - 1) * exp(-(x/scale)^shape) for x > 0."""

    shape: float
    scale: float

    def log_density(self, x: float) -> float:
        """At x > 0."""
        log_ratio = math.log(x / self.scale)
        return (
            math.log(self.shape / self.scale)
            + (self.shape - 1) * log_ratio
            - _exp(self.shape * log_ratio)
        )

    def mean(self) -> float:
        """It is scale * Gamma(1 + 1/shape)."""
        return self.scale * _exp(math.lgamma(1 + 1 / self.shape))


class Mixture(NamedTuple):
    """`weight` of the component `high`, which has the greater mean, and the other, `low`."""

    weight: float
    high: Weibull
    low: Weibull

    def log_likelihood(self, x: float) -> float:
        """Log-density of the mixture at x > 0."""
        high, low = self._parts(x)
        return max(high, low) + math.log1p(_exp(-abs(high - low)))

    def high_share(self, x: float) -> float:
        """Chance that x > 0 comes from `high`."""
        high, low = self._parts(x)
        return 1 / (1 + _exp(low - high))

    def _parts(self, x: float) -> tuple[float, float]:
        return (
            math.log(self.weight) + self.high.log_density(x),
            math.log1p(-self.weight) + self.low.log_density(x),
        )


def fit_mixture(values: Sequence[float]) -> Mixture:
    """The mixture of greatest likelihood, by EM from the values split in halves.

    The values are > 0, and at least two differ.
    """
    ordered = sorted(values)
    lower, upper = _FIRST_SHARES
    shares = [upper if rank >= len(ordered) / 2 else lower for rank in range(len(ordered))]

    before, fit = -math.inf, None
    for _ in range(_EM_STEPS):
        fit = _maximise(ordered, shares, fit)
        shares = [fit.high_share(x) for x in ordered]

        now = math.fsum(map(fit.log_likelihood, ordered))
        if now - before < _EM_TOLERANCE * len(ordered):
            break
        before = now

    assert fit, "there is at least one step"
    # EM may end with the components in the other order.
    if fit.high.mean() < fit.low.mean():
        fit = Mixture(1 - fit.weight, fit.low, fit.high)
    return fit


def _maximise(values: Sequence[float], shares: Sequence[float], before: Mixture | None) -> Mixture:
    """The M step: the mixture of greatest likelihood, given each value's share of `high`."""
    least, most = _SHARE
    shares = [min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE) for share in shares]
    weight = min(max(math.fsum(shares) / len(shares), least), most)

    # The last shapes are good guesses; shape 1, the exponential distribution, is the first.
    high_guess, low_guess = (before.high.shape, before.low.shape) if before else (1.0, 1.0)
    high = _fit(values, shares, high_guess)
    low = _fit(values, [1 - share for share in shares], low_guess)
    return Mixture(weight, high, low)


def _fit(values: Sequence[float], weights: Sequence[float], shape: float) -> Weibull:
    """The distribution of greatest weighted likelihood, by Newton's method from a guessed shape.

    The shape k solves sum(w x^k ln x) / sum(w x^k) - 1/k = sum(w ln x) / sum(w); the scale is the
    k-th power mean, (sum(w x^k) / sum(w))^(1/k).
    """
    logs, total = [math.log(x) for x in values], math.fsum(weights)
    mean = math.fsum(w * log for w, log in zip(weights, logs, strict=True)) / total
    least, most = _SHAPE

    for _ in range(_NEWTON_STEPS):
        # The left side of the equation is the mean of ln x under weights w x^k, and its derivative
        # by k is the variance of ln x under them.
        powers, _ = _powers(shape, logs, weights)
        pairs = list(zip(powers, logs, strict=True))
        first = math.fsum(power * log for power, log in pairs)
        second = math.fsum(power * (log - first) ** 2 for power, log in pairs)

        # At most halved or doubled in a step: Newton's method overshoots from a poor guess.
        newton = shape - (first - 1 / shape - mean) / (second + 1 / shape**2)
        step = min(max(newton, shape / 2, least), shape * 2, most)
        if abs(step - shape) < _NEWTON_TOLERANCE * shape:
            break
        shape = step

    log_sum = _powers(shape, logs, weights)[1]
    return Weibull(shape, math.exp((log_sum - math.log(total)) / shape))


def _powers(
    shape: float, logs: Sequence[float], weights: Sequence[float]
) -> tuple[list[float], float]:
    """Each w x^shape as a share of their sum, and the logarithm of that sum."""
    terms = [math.log(w) + shape * log for w, log in zip(weights, logs, strict=True)]

    # Log-sum-exp: x^1000 is out of a float's range for most x.
    peak = max(terms)
    powers = [math.exp(term - peak) for term in terms]
    total = math.fsum(powers)
    return [power / total for power in powers], peak + math.log(total)


def _exp(x: float) -> float:
    """The exponential function, cut off before it overflows."""
    return math.exp(min(x, _MOST_EXPONENT))
