"""The paper's length reward, and two of its relatives."""

import math
from typing import Literal

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def length(
    sample: Sample,
    *,
    scale: float = 1000.0,
    floor: float = -1.0,
    form: Literal["inverse", "inverse_sqrt", "linear"] = "inverse",
) -> float:
    """-scale / L, at least `floor`: rises towards 0 with the L tokens of a response (arXiv 2502.06773, section 2.2).

    `inverse_sqrt`: -scale / sqrt(L), which rises more slowly. `linear`: L / scale, at most 1: a
    plain cap.
    """
    tokens = sample.length()
    if form == "linear":
        return min(tokens / scale, 1.0)
    if tokens == 0:
        return floor
    return max(floor, -scale / (tokens if form == "inverse" else math.sqrt(tokens)))
