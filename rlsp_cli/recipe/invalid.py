"""Pydantic's errors about a recipe, as issues."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from rlsp_cli.recipe.issue import Issue, did_you_mean
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.section import Section

_UNION_BRANCHES = (
    "number",
    "schedule",
    "option",
    "policy_word",
    "policy_penalty",
    "one_source",
    "several_sources",
)
"""Branches of unions, which pydantic names in an error's location, and which are no keys."""


@dataclass(frozen=True)
class _Error:
    """One of pydantic's errors about a `model`: the keys to the value, and what it found."""

    model: type[Section]
    keys: tuple[str, ...]
    message: str
    found: Any
    context: Mapping[str, Any]

    @property
    def path(self) -> str:
        return ".".join(self.keys)

    @property
    def section(self) -> str:
        """The section of the key, such as `reward.exploration`; at the top, `the recipe`."""
        model_in_words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.model.__name__).lower()
        return ".".join(self.keys[:-1]) or f"the {model_in_words}"

    def issue(self, message: str, hint: str | None = None) -> Issue:
        """The path, what was expected, and what was found there."""
        found = repr(self.found)
        if isinstance(self.found, dict):
            found = "a mapping"
        elif isinstance(self.found, list):
            found = "a list"

        text = f"{message[0].lower()}{message[1:]}, found {found}"
        return Issue(self.path, f"{self.path}: {text}", hint)


def issues_of(error: ValidationError, model: type[Section]) -> list[Issue]:
    """An issue for each of the errors about a section or a whole recipe."""
    return [_issue(detail, model) for detail in error.errors()]


def _issue(detail: Mapping[str, Any], model: type[Section]) -> Issue:
    keys = tuple(str(part) for part in detail["loc"] if part not in _UNION_BRANCHES)
    message = detail["msg"].removeprefix("Value error, ")
    error = _Error(model, keys, message, detail["input"], detail.get("ctx", {}))
    return _BY_TYPE.get(detail["type"], _wrong_value)(error)


def _wrong_value(error: _Error) -> Issue:
    # Pydantic adds how it failed: "..., unable to parse string as an integer".
    return error.issue(error.message.partition(", unable to")[0])


def _unknown_key(error: _Error) -> Issue:
    key = error.keys[-1]
    hint = _where_it_belongs(error.keys[:-1], key, error.model)
    return Issue(error.path, f'unknown key "{key}" in {error.section}', hint)


def _missing_key(error: _Error) -> Issue:
    return Issue(".".join(error.keys[:-1]), f'"{error.keys[-1]}" is missing in {error.section}')


def _no_mapping(error: _Error) -> Issue:
    return error.issue("expected a mapping")


def _no_list(error: _Error) -> Issue:
    # A single value is easily taken for a list of one.
    is_single = isinstance(error.found, str | int | float)
    return error.issue("expected a list", f"write [{error.found}]" if is_single else None)


def _no_text(error: _Error) -> Issue:
    # YAML reads an unquoted prompt with a colon or braces as a mapping.
    is_nested = isinstance(error.found, dict | list)
    hint = "a text with a colon or braces stands in quotes"
    return error.issue(error.message, hint if is_nested else None)


def _no_choice(error: _Error) -> Issue:
    if not isinstance(error.found, str):
        return error.issue(error.message)

    # Pydantic has the choices only as a text: 'a', 'b' or 'c'.
    words = error.context["expected"].replace(" or ", ",").split(",")
    choices = [word.strip("' ") for word in words]
    return error.issue(error.message, did_you_mean(error.found, choices))


def _refused(error: _Error) -> Issue:
    """Refused by a validator of the schema."""
    # Of a whole section the message says it all: its content is too long to be shown.
    if isinstance(error.found, dict | list):
        return Issue(error.path, error.message)
    return error.issue(error.message)


_BY_TYPE: dict[str, Callable[[_Error], Issue]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing_key,
    "model_type": _no_mapping,
    "dict_type": _no_mapping,
    "model_attributes_type": _no_mapping,
    "tuple_type": _no_list,
    "string_type": _no_text,
    "literal_error": _no_choice,
    "value_error": _refused,
}


def _where_it_belongs(parents: Sequence[str], key: str, whole: type[Section]) -> str:
    """A hint for an unknown key: the section inside that has it, or the nearest known key."""
    section = _section(parents, whole)
    for name, field in section.model_fields.items():
        if any(key in inner.model_fields for inner in models_in(field.annotation)):
            return f"it belongs in {'.'.join([*parents, name])}"

    known = list(section.model_fields)
    if section is Recipe:
        known.append("extends")
    return did_you_mean(key, known)


def _section(parents: Sequence[str], whole: type[Section]) -> Any:
    """The model of the section at a path inside another one."""
    model: Any = whole
    for part in parents:
        # The number of a list's item, or the key of a mapping, is no field.
        if part in model.model_fields:
            model = next(models_in(model.model_fields[part].annotation), Section)
        elif extra := model.__annotations__.get("__pydantic_extra__"):
            model = next(models_in(extra), model)  # a plugin's option
    return model


def models_in(annotation: Any) -> Iterator[Any]:
    """The pydantic models in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models_in(part)
