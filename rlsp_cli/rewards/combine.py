"""Combine correctness and exploration into one reward: the only place where they meet."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.plugin_use import Penalise, PluginUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schedule import Schedule, value_at
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.sample import SampleScore, Score, is_right

_UNANSWERED = {"released_code": -0.5}
"""By mixture: correctness of a wrong response without an answer; 0 in the others."""


def alpha_of(recipe: Recipe, step: int) -> float:
    """Alpha at a rollout step without a trainer; UsageError for a schedule whose end is unknown."""
    alpha, total = recipe.reward.alpha, recipe.ppo.steps if recipe.ppo else None
    if step > 0 and isinstance(alpha, Schedule) and not (alpha.steps or total):
        raise UsageError(
            "reward.alpha is a schedule without an end here; give reward.alpha.steps or ppo.steps"
        )
    return value_at(alpha, step, total or 1)


def combine(
    correctness: Score, exploration: Sequence[Score], reward: Reward, alpha: float
) -> SampleScore:
    """A sample's components and their mixture, None if one has neither a value nor a penalty.

    With c for correctness, e_i for the exploration rewards and E for their weighted sum:

    - `rlsp`: alpha * c + (1 - alpha) * E (arXiv 2502.06773, Eq. 1).
    - `released_code`: c + E, with c = -0.5 without an answer, as in the paper's released code with
      its length penalty. `reward.unanswered` is another c without an answer, in any mixture.
    - `gated_correct`, `gated_wrong`: as `rlsp`, with E only for a correct, or only for a wrong
      response.
    - `rm_shaping`: sigmoid(alpha * E) + c - 1: any right answer outranks any wrong one
      (Qwen2.5-Math, 2409.12122).
    - `ensemble`: alpha * c + (1 - alpha) * min(c, e_1, ...): nominal and worst case (after
      2409.15360).
    - `process_verified`: as `rlsp`, where E has a step scorer. `process_strict`: c if every scored
      step is above one half, else 0. After Interplay (2512.07783), whose text we had as an
      abstract: which term alpha multiplies there is our reading.
    """
    pairs = list(zip(exploration, reward.exploration, strict=True))
    c = _value(correctness, reward.correctness)
    values = [_value(score, use) for score, use in pairs]
    known = [value for value in values if value is not None]

    # An unscored component is not 0.0: the sample would be trained against for a plugin's failure.
    if c is None or len(known) < len(values):
        return SampleScore(correctness, tuple(exploration), None)

    if correctness.answer is None and not c:
        c = _unanswered(reward)

    explored = sum(use.weight * value for use, value in zip(reward.exploration, known, strict=True))
    parts = _Parts(c, explored, min([c, *known]), _every_step_is_right(exploration))
    mixed = _MODES[reward.combine](parts, alpha)
    clipped = max(-reward.clip, min(reward.clip, mixed))
    return SampleScore(correctness, tuple(exploration), clipped, (c, explored))


def _value(score: Score, use: PluginUse) -> float | None:
    """A component's value, or the penalty that the recipe sets for the way it ended."""
    if score.value is not None:
        return score.value

    policy = use.policy(score.outcome)
    return policy.penalise if isinstance(policy, Penalise) else None


def _unanswered(reward: Reward) -> float:
    """Correctness of a wrong response without an answer."""
    if reward.unanswered is not None:
        return reward.unanswered
    return _UNANSWERED.get(reward.combine, 0.0)


def _every_step_is_right(exploration: Sequence[Score]) -> bool:
    """Whether each step that a scorer gave a score is above one half, before refinements."""
    scores = [step.score for part in exploration for step in part.steps or ()]
    return all(is_right(score) for score in scores if score is not None)


class _Parts(NamedTuple):
    """What a mixture is made of: c, E, the least of all components, and whether all steps are right."""

    c: float
    e: float
    worst: float
    verified: bool


def _linear(c: float, e: float, alpha: float) -> float:
    return alpha * c + (1 - alpha) * e


_MODES: dict[str, Callable[[_Parts, float], float]] = {
    "rlsp": lambda of, alpha: _linear(of.c, of.e, alpha),
    "released_code": lambda of, _alpha: of.c + of.e,
    "gated_correct": lambda of, alpha: _linear(of.c, of.e if is_right(of.c) else 0.0, alpha),
    "gated_wrong": lambda of, alpha: _linear(of.c, 0.0 if is_right(of.c) else of.e, alpha),
    "rm_shaping": lambda of, alpha: 1 / (1 + math.exp(-alpha * of.e)) + of.c - 1,
    "ensemble": lambda of, alpha: _linear(of.c, of.worst, alpha),
    "process_verified": lambda of, alpha: _linear(of.c, of.e, alpha),
    "process_strict": lambda of, _alpha: of.c if of.verified else 0.0,
}
