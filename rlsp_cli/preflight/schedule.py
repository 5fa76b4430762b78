"""Settings that leave a stage with nothing to do."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from rlsp_cli.data import source_rows
from rlsp_cli.errors import RlspError
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import Ppo, Recipe, Rows, Sft


def look_at_schedule(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """Notes on steps that are not taken, a policy that is not trained, and a missing `reward`."""
    if recipe.sft and "sft" in stages:
        yield from _look_at_sft(recipe, recipe.sft)
    if recipe.ppo and "ppo" in stages:
        yield from _look_at_ppo(recipe, recipe.ppo)


def _look_at_sft(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    rows = _count(recipe.data.traces, recipe)
    if rows is None or sft.max_steps is None:
        return

    # With packing a sequence holds several rows, and a conversation gives an example for each of
    # its answers: rows do not tell the number of steps.
    is_conversation = recipe.data.traces is not None and recipe.data.traces.messages
    if sft.axolotl.packing or is_conversation:
        return

    steps = max(1, int(sft.epochs * (rows - sft.val_rows) / sft.batch))
    if steps < sft.max_steps:
        message = (
            f"sft takes {steps} steps, not {sft.max_steps}: "
            f"epochs is {sft.epochs:g}, and there are {rows} traces"
        )
        yield Note("sft.max_steps", message, "raise sft.epochs")


def _look_at_ppo(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    steps, warmup = _steps(recipe, ppo), ppo.critic_warmup_steps

    # Only `gae` has a critic to warm up.
    if ppo.estimator == "gae" and steps is not None and steps <= warmup:
        message = (
            f"the policy is not trained: each of the {steps} PPO steps trains the critic alone"
        )
        hint = f"critic_warmup_steps is {warmup}; lower it, or raise ppo.steps"
        yield Note("ppo.critic_warmup_steps", message, hint)

    if not recipe.is_given("reward"):
        verifier = recipe.reward.correctness.use
        message = f"no reward is given: {verifier} judges, and nothing rewards exploration"
        yield Note("ppo", message, "write a section `reward`")


def _steps(recipe: Recipe, ppo: Ppo) -> int | None:
    """Rollout steps; None while the number of problems is not known."""
    if ppo.steps is not None:
        return ppo.steps

    rows = _count(recipe.data.prompts, recipe)
    return None if rows is None else ppo.num_steps(rows)


def _count(source: Rows | None, recipe: Recipe) -> int | None:
    """Rows of a source; None when they are not here, or cannot be read."""
    if source is None or source.on_hub:
        return None
    # A row function may make several rows of one.
    if source.is_task and source.rows and not source.row:
        return source.rows

    with suppress(RlspError):  # reported with the data
        return len(source_rows(source, recipe.plugins))
    return None
