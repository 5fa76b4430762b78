"""A trial of `ppo.select` on the first row, with every number of right responses, at both ends of a schedule."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from rlsp_cli.data import Problem
from rlsp_cli.errors import PluginError, RlspError
from rlsp_cli.preflight.data import first_row
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.selection import Choice, Selector


def look_at_selector(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """An issue if the selector breaks, such as on a missing column; a note if it keeps nothing."""
    ppo = recipe.ppo
    prompts = next((source for source in recipe.data.prompt_sources if not source.on_hub), None)
    if "ppo" not in stages or ppo is None or ppo.select is None:
        return
    if ppo.backend != "local" or prompts is None:
        return

    groups = []
    with suppress(RlspError):  # reported with the data
        row, size = first_row(prompts, recipe), ppo.samples_per_prompt
        groups = [_group(row, right, size) for right in range(size + 1)]

    limits = recipe.reward.model_copy(update={"workers": 1})
    try:
        with Selector(ppo.select, limits, recipe.plugins) as selector:
            # Of two steps the first and the last, which are the ends of a schedule.
            trials = [selector.choose(groups, step, 2) for step in (0, 1)]
    except PluginError as error:
        yield Issue("ppo.select", str(error))
        return

    if groups and any(_drops_all(choices) for choices in trials):
        name, size = selector.use.name, ppo.samples_per_prompt
        tried = f"{name} drops the first prompt, however many of its empty responses ({size})"
        yield Note("ppo.select", f"{tried} are right; training ends if it drops every prompt")


def _drops_all(choices: Sequence[Choice]) -> bool:
    return all(choice.drops_prompt for choice in choices)


def _group(row: Problem, right: int, size: int) -> list[Sample]:
    """Responses to a problem, the first of which are right."""
    return [
        Sample(
            prompt=row.problem,
            response="",
            reference=row.answer,
            id=row.id,
            metadata=row.metadata,
            num_tokens=1,
            step=0,
            correct=float(number < right),
            reward=float(number < right),
        )
        for number in range(size)
    ]
