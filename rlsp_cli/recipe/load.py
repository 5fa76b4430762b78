"""Recipe files and overrides -> one validated Recipe, or every issue at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.absolute import make_absolute
from rlsp_cli.recipe.interpolate import interpolate
from rlsp_cli.recipe.invalid import issues_of
from rlsp_cli.recipe.issue import Issue, stopping
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
    """Load a recipe file with `key.path=value` overrides; RecipeError has a line for each issue."""
    return _resolved(read_with_parents(path.absolute()), overrides, str(path), plugins)


def resolve_recipe(
    data: dict[str, Any], overrides: Sequence[str] = (), *, plugins: ResolveOptions | None = None
) -> Recipe:
    """A recipe from plain data instead of a file."""
    return _resolved(Source(data), overrides, "recipe", plugins)


def read_section(path: Path, model: type[SectionModel]) -> SectionModel:
    """Load a file of one section, such as a bench; RecipeError has a line for each issue."""
    source = read_source(path.absolute())
    make_absolute(source.data, path.absolute().parent)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise refusal(issues_of(error, model), source.origins, str(path)) from error


def refuse(recipe: Recipe, issues: Sequence[Issue], path: Path) -> None:
    """RecipeError for issues of a valid recipe, such as what its backend cannot do; not for notes."""
    if found := stopping(issues):
        raise refusal(found, recipe.origins, str(path))


def _resolved(
    source: Source, overrides: Sequence[str], name: str, plugins: ResolveOptions | None
) -> Recipe:
    """The steps from raw data to a Recipe; `name` is the place of what has none of its own."""
    for number, text in enumerate(overrides, 1):
        override(source, text, number)

    # Alone, because all further steps would complain of the text that was not resolved.
    if issues := interpolate(source):
        raise refusal(issues, source.origins, name)
    if plugins is not None:
        issues = complete_plugins(source.data, plugins)

    # Wrong plugins and wrong keys are shown together, so that one round fixes both.
    try:
        recipe = Recipe.model_validate(source.data).with_origins(source.origins)
    except ValidationError as error:
        raise refusal([*issues, *issues_of(error, Recipe)], source.origins, name) from error

    if issues:
        raise refusal(issues, source.origins, name)
    return recipe


def refusal(issues: Sequence[Issue], origins: Mapping[str, Origin], name: str) -> RecipeError:
    """The error for issues, each with its place and only once, in the order of the file."""
    placed = {(nearest_origin(issue.path, origins) or Origin(name), str(issue)) for issue in issues}
    ordered = sorted(placed, key=lambda item: (item[0].order, item[1]))
    return RecipeError("\n".join(f"{origin}: {text}" for origin, text in ordered))
