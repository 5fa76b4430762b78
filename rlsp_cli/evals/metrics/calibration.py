"""Whether responses that state a confidence are right as often as they say."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.metrics.auroc import auroc
from rlsp_cli.evals.metrics.confidence_by_length import LengthBucket, confidence_by_length
from rlsp_cli.evals.metrics.stated import Stated, mean_of, stated_of, weights_of
from rlsp_cli.evals.statistics import Estimate

_BINS = 15
_Z = 1.959964
"""The normal distribution's 97.5% quantile."""
_FOLDED = math.sqrt(2 / math.pi)
"""Mean of |x| for a standard normal x; its variance is 1 less the square of this."""
_MORE_WRONG = 2
"""Invented problems, all wrong, that the upper limit of the ECE allows for."""


class CalibrationError(NamedTuple):
    """An ECE with its 95% interval, and what chance alone would give a model without error."""

    value: float
    low: float
    high: float
    by_chance: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of the scored responses that state a confidence; `stated` is their share of all.

    Brier is the mean of (confidence - correct)^2. All means weigh each problem the same, however
    many of its responses state a confidence. `ece_ci` is the 95% interval, `ece_by_chance` the ECE
    of a model without any error. `auroc` is None without both right and wrong responses, and
    `by_length` is empty if the length of one is unknown.
    """

    stated: float
    confidence: float
    accuracy: float
    brier: float
    ece: float
    ece_ci: tuple[float, float]
    ece_by_chance: float
    auroc: Estimate | None
    by_length: tuple[LengthBucket, ...]


def calibration(rows: Sequence[Scored]) -> Calibration | None:
    """None if no response states a confidence. Problems made of one row count as one."""
    scored = [row for row in rows if row.value is not None]
    stated = stated_of(scored)
    if not stated:
        return None

    error = expected_calibration_error(stated)
    return Calibration(
        stated=len(stated) / len(scored),
        confidence=mean_of(stated, lambda one: one.confidence),
        accuracy=mean_of(stated, lambda one: one.right),
        brier=mean_of(stated, lambda one: (one.confidence - one.right) ** 2),
        ece=error.value,
        ece_ci=(error.low, error.high),
        ece_by_chance=error.by_chance,
        auroc=auroc(stated),
        by_length=confidence_by_length(stated),
    )


def expected_calibration_error(stated: Sequence[Stated], bins: int = _BINS) -> CalibrationError:
    """ECE with the 15 bins of Guo et al. (1706.04599, Eq. 3), of equal width and closed above.

    It is the sum over bins of |sum of weight x (confidence - correct)|. Distances never cancel, so
    chance adds to it, and the interval is not symmetric: the lower limit subtracts the most that
    chance can add, the upper limit assumes that it added nothing.
    """
    gaps, chance = _gaps(stated, bins)
    problems = len({one.problem for one in stated})
    totals = {bin: math.fsum(of_bin.values()) for bin, of_bin in gaps.items()}
    value = math.fsum(map(abs, totals.values()))

    # If all true gaps are 0, each bin's distance is the absolute value of a normal error, with mean
    # _FOLDED x sigma. Bins with a true gap add less than that.
    errors = [max(_variance(of_bin, problems), chance[bin]) for bin, of_bin in gaps.items()]
    by_chance = _FOLDED * math.fsum(map(math.sqrt, errors))
    beyond = _Z * math.sqrt((1 - _FOLDED**2) * sum(errors))

    # If all true gaps are far from 0, the signs that were seen are the true ones, and the ECE is a
    # plain sum of signed gaps. Problems that were not drawn may be wrong with full confidence.
    signed = max(_variance(_towards(gaps, totals), problems), sum(chance.values()))
    above = _Z * math.sqrt(signed + (_MORE_WRONG / problems) ** 2)

    return CalibrationError(
        value, max(0.0, value - by_chance - beyond), min(1.0, value + above), by_chance
    )


def _gaps(
    stated: Sequence[Stated], bins: int
) -> tuple[dict[int, dict[str, float]], dict[int, float]]:
    """By bin: each problem's part of confidence - accuracy, and its variance.

    The variance is that of a model without error, which is right as often as it says.
    """
    weights = weights_of(stated)
    gaps: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    chance: dict[int, float] = defaultdict(float)

    for one in stated:
        # Bins are (0, 1/15], (1/15, 2/15], ...; a confidence of 0 joins the first.
        bin, weight = max(1, math.ceil(one.confidence * bins)), weights[one.problem]

        gaps[bin][one.problem] += weight * (one.confidence - one.right)
        chance[bin] += weight**2 * one.confidence * (1 - one.confidence)

    return gaps, chance


def _towards(
    gaps: Mapping[int, Mapping[str, float]], totals: Mapping[int, float]
) -> dict[str, float]:
    """Each problem's part of the sum of distances: its gaps, signed as those of their bins."""
    parts: dict[str, float] = defaultdict(float)
    for bin, of_bin in gaps.items():
        for problem, gap in of_bin.items():
            parts[problem] += math.copysign(1.0, totals[bin]) * gap
    return parts


def _variance(parts: Mapping[str, float], problems: int) -> float:
    """Variance of the sum of `parts` over problems that are drawn independently.

    A problem without a part has 0.
    """
    # One problem says nothing of how problems vary; `chance` then stands in for it.
    if problems < 2:
        return 0.0

    mean = math.fsum(parts.values()) / problems
    squares = (
        math.fsum((part - mean) ** 2 for part in parts.values()) + (problems - len(parts)) * mean**2
    )
    return squares * problems / (problems - 1)
