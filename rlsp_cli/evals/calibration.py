"""Whether responses that state a confidence are right as often as they say."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rlsp_cli.rewards.answers import stated_confidence
from rlsp_cli.rewards.sample import is_right

_BINS = 15


def calibration(rows: Sequence[dict[str, Any]]) -> dict[str, float] | None:
    """Of the scored responses that state a confidence: their share, mean confidence, accuracy, Brier score and ECE.

    None when no response states one. Brier is the mean of (confidence - correct)^2.
    """
    scored = [row for row in rows if row["correctness"]["value"] is not None]
    pairs = [
        (confidence, is_right(row["correctness"]["value"]))
        for row in scored
        if (confidence := stated_confidence(row["response"])) is not None
    ]
    if not pairs:
        return None
    return {
        "stated": len(pairs) / len(scored),
        "confidence": statistics.fmean(confidence for confidence, _ in pairs),
        "accuracy": statistics.fmean(right for _, right in pairs),
        "brier": statistics.fmean((confidence - right) ** 2 for confidence, right in pairs),
        "ece": expected_calibration_error(pairs),
    }


def expected_calibration_error(pairs: Sequence[tuple[float, bool]], bins: int = _BINS) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, closed above, weighted by their size.

    This is ECE with the 15 bins of Guo et al. (1706.04599). `pairs` are (confidence from 0 to 1, correct).
    """
    members: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in pairs:
        members[max(1, math.ceil(confidence * bins))].append((confidence, right))
    gaps = (abs(sum(confidence - right for confidence, right in bin)) for bin in members.values())
    return sum(gaps) / len(pairs)
