"""An exploration reward: how many pairs does a response try?"""

import re

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def tries(sample: Sample, *, most: int = 6) -> float:
    """Share of `most` pairs that the response adds up, such as `3 + 7 = 10`; each pair counts once."""
    pairs = set(re.findall(r"\d+ \+ \d+ =", sample.response))
    return min(len(pairs) / most, 1.0)
