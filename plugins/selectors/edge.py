"""Keep prompts at the edge of what the policy can do."""

import statistics
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, is_right, selector, signal_of


@selector
def edge(group: Sequence[Sample], *, most: float = 0.25) -> list[bool]:
    """Keep prompts with a pass@1 of at most `most` and a pass@k above 0.

    k is the size of the group, so pass@k is above 0 if one response is right. After Interplay,
    which asks for problems that are hard but not out of reach; the number is ours. Unscored
    responses do not count, and are dropped.
    """
    scores = signal_of(group, "correctness")
    right = [is_right(score) for score in scores if score is not None]

    is_at_edge = any(right) and statistics.fmean(right) <= most
    return [is_at_edge and score is not None for score in scores]
