"""Among the right answers of a group, the shorter ones earn more."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, exploration_reward, is_right


@exploration_reward
def relative_length(group: Sequence[Sample], *, strength: float = 1.0) -> list[float]:
    """1 - strength * (L - L_min) / (L_max - L_min) over the right responses of the prompt; 0 for a wrong one.

    After Self-Rewarded Efficiency RL, which states the idea; the bounded form is ours.
    """
    right = [sample.length() for sample in group if is_right(sample.correct)]
    spread = max(right) - min(right) if right else 0
    return [
        (1 - strength * (sample.length() - min(right)) / spread if spread else 1.0)
        if is_right(sample.correct)
        else 0.0
        for sample in group
    ]
