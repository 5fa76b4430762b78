"""The paper's length reward."""

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def length(sample: Sample, *, scale: float = 1000.0, floor: float = -1.0) -> float:
    """-scale / tokens, at least `floor`: rises towards 0 as the response grows (arXiv 2502.06773, section 2.2)."""
    if sample.num_tokens == 0:
        return floor
    return max(floor, -scale / sample.num_tokens)
