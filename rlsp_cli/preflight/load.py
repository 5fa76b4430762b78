"""recipe.yaml -> Recipe, and the checks before a recipe is used."""

from collections.abc import Sequence
from pathlib import Path

from rlsp_cli.preflight.check import check_recipe
from rlsp_cli.preflight.findings import preflight
from rlsp_cli.recipe.issue import notes_among
from rlsp_cli.recipe.load import load_recipe, refuse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import resolve_options


def read_recipe(name: str, overrides: Sequence[str]) -> tuple[Recipe, Path]:
    """The recipe of a file or a shipped name, valid for schema and plugins; and its file."""
    path = find_recipe(name)
    return load_recipe(path, overrides, plugins=resolve_options), path


def load_checked(name: str, overrides: Sequence[str]) -> tuple[Recipe, Path]:
    """As `read_recipe`, and checked against its backends too."""
    recipe, path = read_recipe(name, overrides)
    refuse(recipe, check_recipe(recipe), path)
    return recipe, path


def inspect_recipe(
    recipe: Recipe, path: Path, stages: Sequence[str], ask_hub: bool = False
) -> list[str]:
    """Check a recipe against its backends, and look at all that its `stages` will use.

    RecipeError with everything that would stop them; returns notes on the rest.
    """
    # All of it in one error, so that a recipe is mended once, and not once for each issue.
    found, checked = preflight(recipe, stages, ask_hub), check_recipe(recipe)
    refuse(recipe, [*checked, *found.issues], path)
    notes = [*notes_among(checked), *found.notes]
    return [f"{recipe.place(note.path) or path}: note: {note}" for note in notes]
