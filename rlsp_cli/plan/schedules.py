"""What the schedules of a recipe do over the rollout steps."""

from collections.abc import Iterator
from dataclasses import dataclass

from rlsp_cli.data import Mixture, recipe_problems
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schedule import Schedule, shares_at, value_at
from rlsp_cli.recipe.schema import Recipe

_POINTS = 5
"""Steps that are shown, at equal distances from the first to the last."""


@dataclass(frozen=True)
class Course:
    """A scheduled value at some rollout steps, counted from 1.

    For a source of prompts, `values` are its shares of the prompts, `prompts` is how many it gives
    in all steps, and `passes` how often that takes each of its rows.
    """

    key: str
    values: tuple[tuple[int, float], ...]
    prompts: float | None = None
    passes: float | None = None


def courses(recipe: Recipe, total_steps: int) -> Iterator[Course]:
    """The course of each schedule of PPO; its data must be readable."""
    ppo = recipe.ppo
    assert ppo, "a recipe with PPO"
    scheduled = {"reward.alpha": recipe.reward.alpha}
    if ppo.select is not None:
        scheduled |= {f"ppo.select.{key}": value for key, value in ppo.select.options.items()}

    for key, value in scheduled.items():
        if isinstance(value, Schedule):
            points = _points(total_steps)
            yield Course(
                key, tuple((step + 1, value_at(value, step, total_steps)) for step in points)
            )

    yield from _sources(recipe, ppo, total_steps)


def _sources(recipe: Recipe, ppo: Ppo, total_steps: int) -> Iterator[Course]:
    """The sources of prompts, if a weight changes: it changes the shares of the others too."""
    weights = [source.weight or 0.0 for source in recipe.data.prompt_sources]
    if not any(isinstance(weight, Schedule) for weight in weights):
        return

    problems = recipe_problems(recipe)
    if not isinstance(problems, Mixture):
        return  # a single source gives all prompts, whatever its weight

    shares = [shares_at(weights, step, total_steps) for step in range(total_steps)]

    for number, rows in enumerate(problems.parts):
        own = [of_step[number] for of_step in shares]
        values = tuple((step + 1, own[step]) for step in _points(total_steps))
        prompts = sum(own) * ppo.rollout_batch
        yield Course(f"data.prompts.{number}", values, prompts, prompts / len(rows))


def _points(total_steps: int) -> list[int]:
    """Steps to show, counted from 0."""
    last, gaps = total_steps - 1, _POINTS - 1
    return sorted({round(part * last / gaps) for part in range(_POINTS)})
