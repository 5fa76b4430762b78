"""Keep prompts whose responses are scored differently enough."""

import statistics
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, Signal, selector, signal_of


@selector
def reward_std(
    group: Sequence[Sample], *, least: float = 0.05, by: Signal = "correctness"
) -> list[bool]:
    """Keep prompts whose scores have a standard deviation of at least `least`.

    The population's. After ReST-RL, whose released default is 0.05 and whose reward is the share of
    passed tests. Unscored responses do not count, and are dropped.
    """
    scores = signal_of(group, by)
    known = [score for score in scores if score is not None]

    varies = bool(known) and statistics.pstdev(known) >= least
    return [varies and score is not None for score in scores]
