"""A mixture of two Weibull distributions, fitted by expectation maximisation.

RPC (2502.00511) tells likely from unlikely reasoning paths by it. Its authors fit it by scipy,
which rlsp does not need to run; two components take no more than Newton's method for the shapes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

_SHARE = (0.2, 0.8)
"""Bounds of the components' weights, as in the code that RPC's authors published."""
_SHAPE = (0.01, 1000.0)
"""Bounds of the shape: without the upper one a component shrinks to a point, where the likelihood has no end."""
_STEPS, _TOLERANCE, _LEAST = 500, 1e-9, 1e-12


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
    """The mixture of greatest likelihood, starting from the values split in halves; all > 0, at least two different."""
    ordered = sorted(values)
    shares = [0.9 if rank >= len(ordered) / 2 else 0.1 for rank in range(len(ordered))]
    before, fit = -math.inf, None
    for _ in range(_STEPS):
        fit = _maximise(ordered, shares, fit)
        shares = [fit.high_share(x) for x in ordered]
        now = math.fsum(map(fit.log_likelihood, ordered))
        if now - before < _TOLERANCE * len(ordered):
            break
        before = now
    assert fit, "there is at least one step"
    if fit.high.mean() < fit.low.mean():
        fit = Mixture(1 - fit.weight, fit.low, fit.high)
    return fit


def _maximise(values: Sequence[float], shares: Sequence[float], before: Mixture | None) -> Mixture:
    low, high = _SHARE
    shares = [
        min(max(share, _LEAST), 1 - _LEAST) for share in shares
    ]  # a component never loses all values
    return Mixture(
        min(max(math.fsum(shares) / len(shares), low), high),
        _fit(values, shares, before.high.shape if before else 1.0),
        _fit(values, [1 - share for share in shares], before.low.shape if before else 1.0),
    )


def _fit(values: Sequence[float], weights: Sequence[float], shape: float) -> Weibull:
    """Greatest weighted likelihood, by Newton's method on the shape from a guess.

    The shape k solves sum(w x^k ln x) / sum(w x^k) - 1/k = sum(w ln x) / sum(w); the scale is the
    k-th power mean.
    """
    logs, total = [math.log(x) for x in values], math.fsum(weights)
    mean = math.fsum(w * log for w, log in zip(weights, logs, strict=True)) / total
    for _ in range(50):
        powers, _ = _powers(shape, logs, weights)
        first = math.fsum(power * log for power, log in zip(powers, logs, strict=True))
        second = math.fsum(
            power * (log - first) ** 2 for power, log in zip(powers, logs, strict=True)
        )
        newton = shape - (first - 1 / shape - mean) / (second + 1 / shape**2)
        step = min(max(newton, shape / 2, _SHAPE[0]), shape * 2, _SHAPE[1])
        if abs(step - shape) < 1e-10 * shape:
            break
        shape = step
    return Weibull(shape, math.exp((_powers(shape, logs, weights)[1] - math.log(total)) / shape))


def _powers(
    shape: float, logs: Sequence[float], weights: Sequence[float]
) -> tuple[list[float], float]:
    """Each w x^shape as a share of their sum, and the logarithm of that sum, however large or small they are."""
    terms = [math.log(w) + shape * log for w, log in zip(weights, logs, strict=True)]
    peak = max(terms)
    powers = [math.exp(term - peak) for term in terms]
    total = math.fsum(powers)
    return [power / total for power in powers], peak + math.log(total)


def _exp(x: float) -> float:
    """No more than a number can hold."""
    return math.exp(min(x, 700.0))
