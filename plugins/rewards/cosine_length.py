"""The cosine length reward: be short when right, long when wrong."""

import math

from rlsp_cli.rewards import Sample, exploration_reward, is_right


@exploration_reward
def cosine_length(
    sample: Sample,
    *,
    right_short: float = 1.0,
    right_long: float = 0.5,
    wrong_short: float = -1.0,
    wrong_long: float = 0.0,
    exceeded: float = -1.0,
    max_tokens: int | None = None,
) -> float | None:
    """Short pays when right, long when wrong, along half a cosine of the length.

    long + (short - long) / 2 * (1 + cos(pi * L / L_max)), and `exceeded` at the limit (Demystifying
    Long CoT, 2502.03373; the default values are ours). L_max is `max_tokens`, else the limit of the
    rollout. Abstains when the verifier gave no value.
    """
    limit = max_tokens or sample.max_tokens
    if limit is None:
        raise ValueError("no length limit is known; set max_tokens")
    if sample.correct is None:
        return None
    if sample.truncated or sample.length() >= limit:
        return exceeded

    short, long = wrong_short, wrong_long
    if is_right(sample.correct):
        short, long = right_short, right_long
    return long + (short - long) / 2 * (1 + math.cos(math.pi * sample.length() / limit))
