"""Recipe files and overrides -> one validated Recipe, or every issue at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.absolute import make_absolute
from rlsp_cli.recipe.interpolate import interpolate
from rlsp_cli.recipe.invalid import issues_of
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.merge import read_with_parents
from rlsp_cli.recipe.origin import Origin, nearest_origin
from rlsp_cli.recipe.override import override
from rlsp_cli.recipe.plugin_ref import ResolveOptions, complete_plugins
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.section import Section
from rlsp_cli.recipe.source import Source, read_source

SectionModel = TypeVar("SectionModel", bound=Section)


def load_recipe(
    path: Path, overrides: Sequence[str] = (), *, plugins: ResolveOptions | None = None
) -> Recipe:
    """Load a recipe file with `key.path=value` overrides; RecipeError lists every issue, one a line."""
    return _resolved(read_with_parents(path.absolute()), overrides, str(path), plugins)


def resolve_recipe(
    data: dict[str, Any], overrides: Sequence[str] = (), *, plugins: ResolveOptions | None = None
) -> Recipe:
    """A recipe from plain data instead of a file."""
    return _resolved(Source(data), overrides, "recipe", plugins)


def read_section(path: Path, model: type[SectionModel]) -> SectionModel:
    """A file that holds one section, such as a bench; RecipeError lists every issue with its place, one a line."""
    source = read_source(path.absolute())
    make_absolute(source.data, path.absolute().parent)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise refusal(issues_of(error, model), source.origins, str(path)) from error


def refuse(recipe: Recipe, issues: Sequence[Issue], path: Path) -> None:
    """RecipeError for what is wrong with a valid recipe, such as what a backend cannot do; nothing without issues."""
    if issues:
        raise refusal(issues, recipe.origins, str(path))


def _resolved(
    source: Source, overrides: Sequence[str], name: str, plugins: ResolveOptions | None
) -> Recipe:
    """The steps from raw data to a Recipe; `name` stands for the place of what has none."""
    for number, text in enumerate(overrides, 1):
        override(source, text, number)

    # Further steps would only complain of the text that was not resolved.
    if issues := interpolate(source):
        raise refusal(issues, source.origins, name)
    if plugins is not None:
        issues = complete_plugins(source.data, plugins)

    try:
        recipe = Recipe.model_validate(source.data).with_origins(source.origins)
    except ValidationError as error:
        raise refusal([*issues, *issues_of(error, Recipe)], source.origins, name) from error

    if issues:
        raise refusal(issues, source.origins, name)
    return recipe


def refusal(issues: Sequence[Issue], origins: Mapping[str, Origin], name: str) -> RecipeError:
    """The issues with their places, in the order in which they stand in the file, each once."""
    placed = {(nearest_origin(issue.path, origins) or Origin(name), str(issue)) for issue in issues}
    ordered = sorted(placed, key=lambda item: (item[0].order, item[1]))
    return RecipeError("\n".join(f"{origin}: {text}" for origin, text in ordered))
