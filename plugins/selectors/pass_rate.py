"""Keep prompts of medium difficulty."""

import statistics
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, selector, signal_of


@selector
def pass_rate(group: Sequence[Sample], *, lo: float = 0.2, hi: float = 0.8) -> list[bool]:
    """Keep prompts whose mean correctness is from `lo` to `hi`, both included.

    The defaults are PRIME's (2502.01456). DAPO (2503.14476) drops only a rate of 0 and of 1.
    Unscored responses do not count, and are dropped.
    """
    scores = signal_of(group, "correctness")
    known = [score for score in scores if score is not None]

    is_between = bool(known) and lo <= statistics.fmean(known) <= hi
    return [is_between and score is not None for score in scores]
