"""AUROC: whether right responses state more confidence than wrong ones."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate

from rlsp_cli.evals.metrics.stated import Stated, weights_of
from rlsp_cli.evals.statistics import Estimate, mean_share


def auroc(stated: Sequence[Stated]) -> Estimate | None:
    """Chance that a right response states more confidence than a wrong one; ties count half.

    Each problem weighs the same, however many responses it has. None without both right and wrong
    responses. As in DeLong et al. (1988), the error is that of two means, over the problems with
    right responses and over those with wrong ones, so the limits of both add up in squares.
    """
    weights = weights_of(stated)
    right = _Side([one for one in stated if one.right], weights)
    wrong = _Side([one for one in stated if not one.right], weights)
    if not right.stated or not wrong.stated:
        return None

    # A response's placement: the share of the other side that its confidence tells it apart from.
    of_right = [wrong.share_below(one.confidence) for one in right.stated]
    of_wrong = [1 - right.share_below(one.confidence) for one in wrong.stated]

    means = [right.mean(of_right), wrong.mean(of_wrong)]
    value = means[0].value
    low = value - math.hypot(*(value - mean.low for mean in means))
    high = value + math.hypot(*(mean.high - value for mean in means))
    return Estimate(value, max(0.0, low), min(1.0, high))


class _Side:
    """All right responses, or all wrong ones."""

    def __init__(self, stated: Sequence[Stated], weights: Mapping[str, float]) -> None:
        self.stated, self._weights = stated, weights
        self._at: dict[float, float] = defaultdict(float)
        for one in stated:
            self._at[one.confidence] += weights[one.problem]

        self._levels = sorted(self._at)
        self._up_to = [0.0, *accumulate(self._at[level] for level in self._levels)]
        self._total = self._up_to[-1]

    def share_below(self, confidence: float) -> float:
        """The share with less confidence than this, and half of the share with this."""
        below = self._up_to[bisect_left(self._levels, confidence)]
        return (below + self._at[confidence] / 2) / self._total

    def mean(self, placements: Sequence[float]) -> Estimate:
        """Their weighted mean, with an interval over problems by linearisation."""
        pairs = list(zip(self.stated, placements, strict=True))
        value = sum(self._weights[one.problem] * place for one, place in pairs) / self._total

        parts: dict[str, float] = defaultdict(float)
        for one, place in pairs:
            parts[one.problem] += self._weights[one.problem] / self._total * (place - value)
        return mean_share([value + len(parts) * part for part in parts.values()])
