"""The paper's length reward, and two relatives of it."""

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
    """The paper's length reward: -scale / tokens, at least `floor`, which rises towards 0.

    arXiv 2502.06773, section 2.2. Two other forms: `inverse_sqrt` is -scale / sqrt(tokens), which
    rises more slowly, and `linear` is tokens / scale, at most 1.
    """
    tokens = sample.length()
    if form == "linear":
        return min(tokens / scale, 1.0)
    if tokens == 0:
        return floor

    size = tokens if form == "inverse" else math.sqrt(tokens)
    return max(floor, -scale / size)
