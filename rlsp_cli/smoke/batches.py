"""The arithmetic of a recipe's batches, at its own sizes."""

from collections.abc import Iterator

from rlsp_cli.preflight import Check, Checked
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe

BATCHES = Check("batches fit", "a rollout is whole optimiser steps, and the policy is trained")


def look_at_batches(recipe: Recipe) -> Iterator[Checked]:
    """Whether rollouts are whole optimiser steps, and whether a step is left for the policy."""
    if recipe.ppo is not None:
        yield _batches(recipe.ppo)


def _batches(ppo: Ppo) -> Checked:
    size = f"{ppo.rollout_batch} prompts x {ppo.samples_per_prompt} = {ppo.responses} replies"
    found = f"{size} a rollout, {ppo.updates} optimiser steps of {ppo.train_batch}"

    if ppo.responses % ppo.train_batch:
        cause = f"train_batch does not divide {ppo.responses}: the rest is lost or refused"
        return BATCHES.failed(found, cause)
    if ppo.steps is not None and ppo.steps <= ppo.warmup_steps:
        cause = f"all {ppo.steps} steps train the critic alone: lower ppo.critic_warmup_steps"
        return BATCHES.failed(found, cause)
    return BATCHES.passed(found)
