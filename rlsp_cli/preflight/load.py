"""recipe.yaml -> Recipe, looked at as far as a command needs it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rlsp_cli.preflight.check import check_recipe
from rlsp_cli.preflight.findings import preflight
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import resolve_options


def load_checked(name: str, overrides: Sequence[str]) -> tuple[Recipe, Path]:
    """The recipe of a file or shipped name, checked against plugins and backends too, and its file."""
    path = find_recipe(name)
    return load_recipe(path, overrides, plugins=resolve_options, check=check_recipe), path


def load_inspected(
    name: str, overrides: Sequence[str], stages: Callable[[Recipe], Sequence[str]], ask_hub: bool = False
) -> tuple[Recipe, Path, list[str]]:
    """As `load_checked`, and what its `stages` will use was looked at: RecipeError for what would stop them.

    The lines say what is worth knowing all the same.
    """
    notes: list[Note] = []

    def check(recipe: Recipe) -> list[Issue]:
        found = preflight(recipe, stages(recipe), ask_hub)
        notes.extend(found.notes)
        return [*check_recipe(recipe), *found.issues]

    path = find_recipe(name)
    recipe = load_recipe(path, overrides, plugins=resolve_options, check=check)
    return recipe, path, [f"{recipe.place(note.path) or path}: note: {note}" for note in notes]
