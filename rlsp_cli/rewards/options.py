"""A plugin's keyword-only parameters as a pydantic model: the options that a recipe may give."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from rlsp_cli.recipe.issue import OptionsError, did_you_mean


def options_model(function: Callable[..., Any]) -> type[BaseModel]:
    """The model of a function's keyword-only parameters; unknown options are refused."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            fields[name] = (hints[name], parameter.default)

    # An option of inf would pass for a float, and turn up as NaN in the reward.
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(f"{function.__name__}_options", __config__=config, **fields)


def complete_options(
    model: type[BaseModel], options: dict[str, Any], plugin: str
) -> dict[str, Any]:
    """All options with their defaults, as JSON; OptionsError names each that is wrong."""
    try:
        return model.model_validate(options).model_dump(mode="json")
    except ValidationError as error:
        problems = [_problem(dict(detail), model, plugin) for detail in error.errors()]
        raise OptionsError(problems) from error


def _problem(detail: dict[str, Any], model: type[BaseModel], plugin: str) -> tuple[str | None, str]:
    """The option that is wrong, and a message about it, from a detail of pydantic's error."""
    # Only the first part: within a list, what follows is a position that no recipe names.
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        return key, f'unknown option "{key}" of {plugin} - {did_you_mean(key, model.model_fields)}'

    message = detail["msg"][0].lower() + detail["msg"][1:]
    return key, f"option {key} of {plugin}: {message}, found {detail['input']!r}"
