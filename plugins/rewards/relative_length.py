"""Reward the shorter ones among the right responses of a group."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, exploration_reward, is_right


@exploration_reward
def relative_length(group: Sequence[Sample], *, strength: float = 1.0) -> list[float]:
    """Shorter right responses of a group earn more, up to 1; wrong ones earn 0.

    1 - strength * (L - L_min) / (L_max - L_min) over the right responses. After Self-Rewarded
    Efficiency RL, which states the idea; the bounded form is ours.
    """
    right = [sample.length() for sample in group if is_right(sample.correct)]
    shortest = min(right, default=0)
    spread = max(right, default=0) - shortest

    rewards = []
    for sample in group:
        if not is_right(sample.correct):
            rewards.append(0.0)
        elif not spread:
            rewards.append(1.0)
        else:
            rewards.append(1 - strength * (sample.length() - shortest) / spread)
    return rewards
