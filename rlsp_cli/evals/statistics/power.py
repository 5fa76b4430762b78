"""The smallest difference of accuracy that a bench can show.

Two models whose accuracies truly differ by this much are told apart in 80% of evaluations, at the
5% level (two-sided). Miller, "Adding Error Bars to Evals" (2411.00640), explains how that depends
on the variance between problems and between the samples of one problem.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlsp_cli.evals.statistics.paired import FEWEST, LEVEL
from rlsp_cli.evals.statistics.student import t_quantile

if TYPE_CHECKING:
    import numpy as np

POWER = 0.8

_EVALUATIONS = 400
"""Simulated evaluations: the power that they estimate has a standard error of 2 points."""
_FLIPS = 400
"""Random sign flips from which an evaluation's p-value comes."""
_SIMULATED = 200
"""Most problems of a simulated evaluation; with more, the difference shrinks with their root."""
_HALVINGS = 8
"""Bisections of an effect's strength, to 1/256 of its range."""
_FIXED_POINTS = 50
"""Iterations of the unpaired difference, whose variance depends on the difference itself."""

_MOST_LOG_ODDS = 12.0
"""Odds multiplied by e^12, about 160,000: no model is that much better."""
_SPREAD = (0.01, 0.99)
"""Bounds of the share of variance that is between problems; at 0 or 1 there is no Beta(a, b)."""
_EQUAL_SUMS = 1e-4
"""Sums of 200 single-precision differences that are closer than this are equal."""

_Evaluate = Callable[["np.random.Generator", float], tuple[float, "np.ndarray"]]
"""From a strength of the effect to the true difference, and the differences of the problems in many
evaluations (evaluations x problems)."""


@dataclass(frozen=True)
class Detectable:
    """The smallest true differences that 80% of evaluations would show; None if not known."""

    unpaired: float | None
    paired: float | None


def detectable(values: Mapping[str, Sequence[float]]) -> Detectable:
    """What can be shown, from one model's scores of each problem, against one that varies like it.

    `unpaired`: the other answered other problems of this kind, by Welch's test. `paired`: it
    answered the same ones, and the odds of a right answer differ by one factor on all of them, by
    the test of `rlsp compare`. Both are differences towards 50%, which are harder to show. None
    where the scores do not tell (one problem, one sample of each, no spread), and where no
    difference is found in 80% of evaluations.
    """
    means = [statistics.fmean(scores) for scores in values.values()]
    spread = len(means) > 1 and statistics.variance(means) > 0
    return Detectable(
        unpaired=_unpaired(means) if spread else None,
        paired=_paired([(scores, scores) for scores in values.values()], models=1),
    )


def detectable_between(scores: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """`paired` of `detectable`, from two models' scores of each problem, for as many samples.

    It knows how a gain is spread over problems; `detectable_by` knows how differently the two find
    problems hard.
    """
    return _paired(scores, 2)


def detectable_by(differences: Sequence[float]) -> float | None:
    """What can be shown, from two models' differences by problem, if differences have such sizes.

    Differences scatter around 0 as those that were seen do around their mean. On top of that, a
    share of the problems is better by a size that was seen. None where no problem differs.
    """
    import numpy as np

    seen = np.array(differences).round(12)
    scatter = np.where(seen == 0, 0, seen - seen.mean())
    sizes = np.abs(seen[seen != 0])
    if not len(sizes):
        return None

    def evaluate(rng: np.random.Generator, share: float) -> tuple[float, np.ndarray]:
        shape = _shape(len(seen))
        either = rng.choice(scatter, shape) * rng.choice([-1, 1], shape)
        better = np.minimum(either + rng.choice(sizes, shape) * (rng.random(shape) < share), 1)

        # No difference exceeds 1, so the true difference is what the cut leaves of it.
        return float((better - either).mean()), better

    return _smallest(evaluate, 1.0, len(seen))


def _paired(scores: Sequence[tuple[Sequence[float], Sequence[float]]], models: int) -> float | None:
    """The smallest difference, by simulating both models on problems as hard as these.

    Of the scores of each problem, those of the first `models` say how hard it is: with one model,
    the second repeats them.
    """
    import numpy as np

    counts = np.array([(len(first), len(second)) for first, second in scores])
    samples = counts[:, :models].sum(1)
    right = np.array([sum(map(sum, both[:models])) for both in scores])

    # By symmetry a gain from below 50% stands for a loss from above.
    if statistics.fmean(right / samples) > 0.5:
        right = samples - right
    if samples.min() < 2 or not right.any() or len(set(right / samples)) == 1:
        return None

    # Chances are Beta(a, b) over problems, and Beta(a + right, b + wrong) for a problem whose
    # samples are known (beta-binomial model): each simulated problem is as hard as a real one.
    a, b = _beta_fit(right, samples)

    def evaluate(rng: np.random.Generator, strength: float) -> tuple[float, np.ndarray]:
        picked = rng.choice(len(samples), _shape(len(samples)))
        chance = rng.beta(a + right[picked], b + (samples - right)[picked])

        odds = math.exp(strength)
        better = chance * odds / (1 - chance + chance * odds)

        before, after = counts[picked, 0], counts[picked, 1]
        differences = rng.binomial(after, better) / after - rng.binomial(before, chance) / before
        return float((better - chance).mean()), differences

    return _smallest(evaluate, _MOST_LOG_ODDS, len(samples))


def _beta_fit(right: "np.ndarray", samples: "np.ndarray") -> tuple[float, float]:
    """The a and b of the beta distribution of the problems' chances, by the method of moments."""
    shares = right / samples
    mean = float(shares.mean())

    # Shares vary more than chances do: the variance of sampling is taken off.
    within = float((shares * (1 - shares) / (samples - 1)).mean())
    between = max(float(shares.var(ddof=1)) - within, 0.0)

    # Var = mean (1 - mean) / (size + 1), where size is a + b.
    least, most = _SPREAD
    size = 1 / min(max(between / (mean * (1 - mean)), least), most) - 1
    return mean * size, (1 - mean) * size


def _smallest(evaluate: _Evaluate, most: float, problems: int) -> float | None:
    """The true difference that is found in 80% of evaluations, by bisection of the strength."""
    import numpy as np

    if problems < FEWEST or _found(evaluate(np.random.default_rng(0), most)[1]) < POWER:
        return None

    # The same random numbers at every strength: power then rises with it, as bisection needs.
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _found(evaluate(np.random.default_rng(0), middle)[1]) >= POWER
        low, high = (low, middle) if enough else (middle, high)

    return evaluate(np.random.default_rng(0), high)[0] * math.sqrt(min(1.0, _SIMULATED / problems))


def _found(differences: "np.ndarray") -> float:
    """Share of evaluations, one a row, in which random sign flips give a p of at most 0.05."""
    import numpy as np

    # One matrix product flips the signs of all evaluations at once.
    signs = np.array([-1, 1], np.float32)
    flips = np.random.default_rng(1).choice(signs, (differences.shape[1], _FLIPS))
    sums = np.abs(differences.astype(np.float32) @ flips)

    observed = np.abs(differences.sum(1, keepdims=True))
    p_values = (sums >= observed - _EQUAL_SUMS).mean(1)
    return float((p_values <= LEVEL).mean())


def _shape(problems: int) -> tuple[int, int]:
    return _EVALUATIONS, min(problems, _SIMULATED)


def _unpaired(means: Sequence[float]) -> float | None:
    """Miller's minimum detectable effect (2411.00640): (t_{1-level/2} + t_power) x standard error.

    Each model has the variance of its own accuracy, and t quantiles allow for few problems.
    """
    freedom, mean = 2 * len(means) - 2, statistics.fmean(means)
    factor = t_quantile(1 - LEVEL / 2, freedom) + t_quantile(POWER, freedom)
    overdispersion = statistics.variance(means) / (mean * (1 - mean))

    # Few problems can all be easy or hard by chance. An invented one, right or wrong, draws the
    # accuracy towards 50%, so that the number rather promises too little.
    mean = min(statistics.fmean([*means, 1.0]), 1 - statistics.fmean([*means, 0.0]), 0.5)

    difference = 0.0
    for _ in range(_FIXED_POINTS):
        other = min(mean + difference, 0.5)
        both = overdispersion * (mean * (1 - mean) + other * (1 - other))
        difference = factor * math.sqrt(both / len(means))

    return difference if difference <= 1 - mean else None
