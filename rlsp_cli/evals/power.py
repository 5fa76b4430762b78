"""The smallest difference of accuracy that a bench can show.

Two models whose accuracies truly differ by this much are told apart in 80% of evaluations, at the 5% level (two-sided):
(z(0.975) + z(0.8)) times the standard error of the difference. How that error splits into what differs between
problems and between the samples of one problem: Miller, "Adding Error Bars to Evals" (2411.00640), power analysis.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

_NORMAL = statistics.NormalDist()
_Z = _NORMAL.inv_cdf(0.975) + _NORMAL.inv_cdf(0.8)


def detectable(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """From one model's scores of each problem: what can be shown against another model that varies as this one does.

    `unpaired`: the other answered other problems of this kind, so both sums of variance count. `paired`: it answered
    the same problems and finds the same ones hard, so only the variance within problems is left; this is the least
    that pairing can reach. None where the scores do not tell the variance: one problem, one sample of each, no spread.
    """
    means = [statistics.fmean(scores) for scores in values.values()]
    between = statistics.variance(means) if len(means) > 1 else 0.0
    several = all(len(scores) > 1 for scores in values.values())
    within = statistics.fmean(statistics.variance(s) / len(s) for s in values.values()) if several else 0.0
    within = min(within, between)  # the means vary by both; that they seem to vary by less is chance
    return {"unpaired": _smallest(2 * between, len(means)), "paired": _smallest(2 * within, len(means))}


def detectable_by(differences: Sequence[float]) -> float | None:
    """From a pair of models: what these problems can show, by the variance of their difference over problems."""
    return _smallest(statistics.variance(differences) if len(differences) > 1 else 0.0, len(differences))


def _smallest(variance: float, problems: int) -> float | None:
    return _Z * math.sqrt(variance / problems) if variance > 0 else None
