"""The smallest difference of accuracy that a bench can show.

Two models whose accuracies truly differ by this much are distinguished in 80% of evaluations, at
the 5% level (two-sided). Miller, "Adding Error Bars to Evals" (2411.00640), explains how that
depends on the variance between problems and between the samples of one problem.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlsp_cli.evals.statistics.beta import beta_quantile
from rlsp_cli.evals.statistics.paired import FEWEST, LEVEL

if TYPE_CHECKING:
    import numpy as np

_POWER = 0.8
_EVALUATIONS = 400
_TURNS = 400
_HALVINGS = 8
_SIMULATED = 200
"""Problems of a simulated evaluation; beyond them the difference shrinks with the root of their number."""
_Evaluate = Callable[["np.random.Generator", float], tuple[float, "np.ndarray"]]
"""From a strength of the effect: the true difference, and the problems' differences in many evaluations."""


@dataclass(frozen=True)
class Detectable:
    """The smallest true differences of accuracy that 80% of evaluations would show; None if the data cannot tell."""

    unpaired: float | None
    paired: float | None


def detectable(values: Mapping[str, Sequence[float]]) -> Detectable:
    """From one model's scores of each problem: what can be shown against another model that varies as this one does.

    `unpaired`: the other answered other problems of this kind, by Welch's test. `paired`: it
    answered the same ones, and the odds of a right answer differ by the same factor on all of them,
    by the test of `rlsp compare`. The difference is one towards 50%, which is the harder to show.
    None where the scores do not tell: one problem, one sample of each, no spread; and where no
    difference is found so often.
    """
    means = [statistics.fmean(scores) for scores in values.values()]
    spread = len(means) > 1 and statistics.variance(means) > 0
    return Detectable(
        unpaired=_unpaired(means) if spread else None,
        paired=_paired([(scores, scores) for scores in values.values()], models=1),
    )


def detectable_between(scores: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """From what a pair of models scored on each problem: `paired` of `detectable`, for so many samples of each.

    It knows how a gain is spread over problems; `detectable_by` knows how differently the two find
    problems hard.
    """
    return _paired(scores, 2)


def detectable_by(differences: Sequence[float]) -> float | None:
    """From a pair of models: what these problems can show, if differences are of the sizes that were seen.

    On top of what scatters around the mean, either way, a share of the problems is better by a size
    that was seen. None where no problem differs.
    """
    import numpy as np

    seen = np.array(differences).round(12)
    scatter = np.where(seen == 0, 0, seen - seen.mean())
    moved = np.abs(seen[seen != 0])
    if not len(moved):
        return None

    def evaluate(rng: np.random.Generator, share: float) -> tuple[float, np.ndarray]:
        shape = _shape(len(seen))
        either = rng.choice(scatter, shape) * rng.choice([-1, 1], shape)
        better = np.minimum(either + rng.choice(moved, shape) * (rng.random(shape) < share), 1)
        return float((better - either).mean()), better

    return _smallest(evaluate, 1.0, len(seen))


def _paired(scores: Sequence[tuple[Sequence[float], Sequence[float]]], models: int) -> float | None:
    """By simulation of both models on problems whose chances are what these scores make of a beta distribution.

    They are scores of two models, or twice those of one.
    """
    import numpy as np

    counts = np.array([[len(scored) for scored in both] for both in scores])
    samples = counts[:, :models].sum(1)
    right = np.array([sum(map(sum, both[:models])) for both in scores])
    if statistics.fmean(right / samples) > 0.5:
        right = samples - right
    if samples.min() < 2 or not right.any() or len(set(right / samples)) == 1:
        return None
    a, b = _beta_fit(right, samples)

    def evaluate(rng: np.random.Generator, strength: float) -> tuple[float, np.ndarray]:
        picked = rng.choice(len(samples), _shape(len(samples)))
        chance = rng.beta(a + right[picked], b + (samples - right)[picked])
        odds = math.exp(strength)
        better = chance * odds / (1 - chance + chance * odds)
        before, after = counts[picked, 0], counts[picked, 1]
        moved = rng.binomial(after, better) / after - rng.binomial(before, chance) / before
        return float((better - chance).mean()), moved

    return _smallest(evaluate, 12.0, len(samples))


def _beta_fit(right: "np.ndarray", samples: "np.ndarray") -> tuple[float, float]:
    """Beta distribution of the problems' chances, by the moments of their shares."""
    shares = right / samples
    mean = float(shares.mean())
    within = float((shares * (1 - shares) / (samples - 1)).mean())
    between = max(float(shares.var(ddof=1)) - within, 0.0)
    size = 1 / min(max(between / (mean * (1 - mean)), 0.01), 0.99) - 1
    return mean * size, (1 - mean) * size


def _smallest(evaluate: _Evaluate, most: float, problems: int) -> float | None:
    """The true difference at the strength that is found in 80% of evaluations, by halving the range."""
    import numpy as np

    if problems < FEWEST or _found(evaluate(np.random.default_rng(0), most)[1]) < _POWER:
        return None
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _found(evaluate(np.random.default_rng(0), middle)[1]) >= _POWER
        low, high = (low, middle) if enough else (middle, high)
    return evaluate(np.random.default_rng(0), high)[0] * math.sqrt(min(1.0, _SIMULATED / problems))


def _found(moved: "np.ndarray") -> float:
    """Share of evaluations, one a row, in which turning the signs at random gives a p of at most 0.05."""
    import numpy as np

    turns = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), (moved.shape[1], _TURNS))
    sums = np.abs(moved.astype(np.float32) @ turns)
    far = (sums >= np.abs(moved.sum(1, keepdims=True)) - 1e-4).mean(1)
    return float((far <= LEVEL).mean())


def _shape(problems: int) -> tuple[int, int]:
    return _EVALUATIONS, min(problems, _SIMULATED)


def _unpaired(means: Sequence[float]) -> float | None:
    """T quantiles times the standard error, with each model's variance at its own accuracy.

    One made problem, right or wrong, draws this model's accuracy towards 50%: few problems scatter
    too much around it.
    """
    freedom, mean = 2 * len(means) - 2, statistics.fmean(means)
    factor = _t_quantile(1 - LEVEL / 2, freedom) + _t_quantile(_POWER, freedom)
    overdispersion = statistics.variance(means) / (mean * (1 - mean))
    mean = min(statistics.fmean([*means, 1.0]), 1 - statistics.fmean([*means, 0.0]), 0.5)

    difference = 0.0
    for _ in range(50):
        other = min(mean + difference, 0.5)
        both = overdispersion * (mean * (1 - mean) + other * (1 - other))
        difference = factor * math.sqrt(both / len(means))
    return difference if difference <= 1 - mean else None


def _t_quantile(share: float, freedom: int) -> float:
    """Student's, for shares above one half."""
    x = beta_quantile(freedom / 2, 0.5, 2 * (1 - share))
    return math.sqrt(freedom * (1 - x) / x)
