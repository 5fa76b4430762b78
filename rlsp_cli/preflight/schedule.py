"""Settings that leave a stage with nothing to do."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from rlsp_cli.data import source_rows
from rlsp_cli.errors import RlspError
from rlsp_cli.preflight.data import on_hub
from rlsp_cli.recipe.problem import Note, Problem
from rlsp_cli.recipe.schema import Ppo, Recipe
from rlsp_cli.rewards.registry import Registry


def look_at_schedule(recipe: Recipe, stages: Sequence[str], registry: Registry) -> Iterator[Problem]:
    """Notes on a PPO whose policy takes no step, and on one that nobody gave a reward."""
    if recipe.ppo is None or "ppo" not in stages:
        return
    steps, warmup = _steps(recipe, recipe.ppo, registry), recipe.ppo.critic_warmup_steps
    if recipe.ppo.estimator == "gae" and steps is not None and steps <= warmup:
        message = f"the policy is not trained: each of the {steps} PPO steps trains the critic alone"
        yield Note("ppo.critic_warmup_steps", message, f"critic_warmup_steps is {warmup}; lower it, or raise ppo.steps")
    if not recipe.is_given("reward"):
        message = f"no reward is given: {recipe.reward.correctness.use} judges, and nothing rewards exploration"
        yield Note("ppo", message, "write a section `reward`")


def _steps(recipe: Recipe, ppo: Ppo, registry: Registry) -> int | None:
    """Rollout steps; None while the number of problems is not known."""
    if ppo.steps is not None:
        return ppo.steps
    prompts = recipe.data.prompts
    if prompts is None or on_hub(prompts):
        return None
    if prompts.source.startswith("task:") and prompts.rows:
        return ppo.num_steps(prompts.rows)
    with suppress(RlspError):
        return ppo.num_steps(len(source_rows(prompts, registry, recipe.plugins)))
    return None
