"""Settings that leave a stage with nothing to do."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from rlsp_cli.data import recipe_problems, recipe_traces, source_rows
from rlsp_cli.errors import RlspError
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft


def look_at_schedule(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """Notes on steps that are not taken, a policy that is not trained, and a missing `reward`."""
    if recipe.sft and "sft" in stages:
        yield from _look_at_sft(recipe, recipe.sft)
    if recipe.ppo and "ppo" in stages:
        yield from _look_at_ppo(recipe, recipe.ppo)


def _look_at_sft(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    rows = _count(recipe, sft.role)
    if rows is None or sft.max_steps is None:
        return

    # With packing a sequence holds several rows, and a conversation gives an example for each of
    # its answers: rows do not tell the number of steps.
    is_conversation = any(source.messages for source in recipe.data.trace_sources)
    if sft.axolotl.packing or is_conversation:
        return

    steps = max(1, int(sft.epochs * (rows - sft.val_rows) / sft.batch))
    if steps < sft.max_steps:
        message = (
            f"sft takes {steps} steps, not {sft.max_steps}: "
            f"epochs is {sft.epochs:g}, and there are {rows} rows of {sft.role}"
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

    rows = _count(recipe, "prompts")
    return None if rows is None else ppo.num_steps(rows)


def _count(recipe: Recipe, role: str) -> int | None:
    """Rows for training; None when they are not here, or cannot be read."""
    sources = [*recipe.data.sources(role).values()]
    if not sources or any(source.on_hub for source in sources):
        return None
    # A row function may make several rows of one.
    if len(sources) == 1 and sources[0].is_task and sources[0].rows and not sources[0].row:
        return sources[0].rows

    with suppress(RlspError):  # reported with the data
        if len(sources) == 1:
            return len(source_rows(sources[0], recipe.plugins))
        return len(recipe_traces(recipe) if role == "traces" else recipe_problems(recipe))
    return None
