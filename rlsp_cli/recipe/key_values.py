"""`key.path=value` words of the command line, read without a recipe."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from rlsp_cli.recipe.invalid import issues_of
from rlsp_cli.recipe.load import SectionModel, refusal
from rlsp_cli.recipe.override import override
from rlsp_cli.recipe.source import Source


def plain_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """The data that the words set, not validated."""
    return _source(overrides).data


def read_settings(overrides: Sequence[str], model: type[SectionModel]) -> SectionModel:
    """A section from the words alone; RecipeError has a line for each issue."""
    source = _source(overrides)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise refusal(issues_of(error, model), source.origins, "KEY=VALUE") from error


def _source(overrides: Sequence[str]) -> Source:
    source = Source({})
    for number, text in enumerate(overrides, 1):
        override(source, text, number)
    return source
