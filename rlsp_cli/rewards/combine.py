"""How correctness and exploration become one reward: the only place where they meet."""

import math
from collections.abc import Sequence

from rlsp_cli.recipe.schema import Reward, Schedule
from rlsp_cli.rewards.sample import Score

_NO_ANSWER = -0.5
"""Correctness of a response without an answer in the released code."""


def alpha_at(alpha: float | Schedule, step: int, total_steps: int) -> float:
    """The weight of correctness at a rollout step, counted from 0."""
    if not isinstance(alpha, Schedule):
        return alpha
    progress = min(step / max((alpha.steps or total_steps) - 1, 1), 1.0)
    if alpha.shape == "cosine":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return alpha.start + (alpha.end - alpha.start) * progress


def combine(correctness: Score, exploration: Sequence[Score], reward: Reward, alpha: float) -> float | None:
    """The reward of one response; None when any component is unscored.

    `rlsp`: alpha * c + (1 - alpha) * e (arXiv 2502.06773, Eq. 1). `released_code`: c + e with c = -0.5 without an
    answer, which is what the paper's released code computes with its length penalty; alpha plays no part.
    """
    values = [score.value for score in exploration]
    if correctness.value is None or None in values:
        return None
    weights = [use.weight for use in reward.exploration]
    explored = sum(weight * float(value or 0.0) for weight, value in zip(weights, values, strict=True))
    if reward.combine == "released_code":
        unanswered = correctness.answer is None and not correctness.value
        mixed = (_NO_ANSWER if unanswered else correctness.value) + explored
    else:
        mixed = alpha * correctness.value + (1 - alpha) * explored
    return max(-reward.clip, min(reward.clip, mixed))
