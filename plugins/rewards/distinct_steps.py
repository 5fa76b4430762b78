"""Reward many different steps, so that repetition earns nothing."""

import re

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def distinct_steps(sample: Sample, *, target: int = 10) -> float:
    """Many different steps and few repeated ones; 0 to 1.

    A step is a sentence or a line. With s steps, d of them distinct, it is min(d, target) / target
    * d / s.
    """
    parts = re.split(r"[\n;]+|(?<=[.!?])\s+", sample.response)
    steps = [" ".join(part.lower().split()) for part in parts if re.search(r"\w", part)]
    if not steps:
        return 0.0

    # The second factor: padding with steps that are there already lowers the reward.
    distinct = len(set(steps))
    return min(distinct, target) / target * distinct / len(steps)
