"""Reward many different steps, so that repetition earns nothing."""

from typing import Literal

from rlsp_cli.rewards import Sample, exploration_reward, split_steps

By = Literal["lines", "blank_line", "numbered", "tag", "sentences"]


@exploration_reward
def distinct_steps(sample: Sample, *, target: int = 10, by: By = "sentences") -> float:
    """Many different steps and few repeated ones; 0 to 1.

    `by` says what ends a step, as `steps.by` of a step scorer. With s steps, d of them distinct, it
    is min(d, target) / target * d / s.
    """
    parts = split_steps(sample.response, by)
    steps = [" ".join(part.text.lower().split()) for part in parts]
    if not steps:
        return 0.0

    # The second factor: padding with steps that are there already lowers the reward.
    distinct = len(set(steps))
    return min(distinct, target) / target * distinct / len(steps)
