"""`${key.path}` in a value: the value at that key."""

import re
from collections.abc import Iterator
from typing import Any

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.source import Source
from rlsp_cli.recipe.tree import get_in, items_of

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_PROMPTS = ("data.template", "data.system")
"""Keys whose text is for the model, where `${` means nothing."""
_WORDS = {None: "null", True: "true", False: "false"}


class _UnresolvedError(ValueError):
    """Why a reference stands for nothing."""


def interpolate(source: Source) -> list[Issue]:
    """Replace every `${key.path}` by the value at that key, in place; an issue for each that names none."""
    return list(_interpolated(source.data, source.data, ""))


def _interpolated(data: Any, node: Any, prefix: str) -> Iterator[Issue]:
    """The issues of a mapping or list of the data, whose values are replaced; `prefix` leads to it."""
    for key, value in items_of(node):
        path = f"{prefix}{key}"
        if not _has_reference(path, value):
            yield from _interpolated(data, value, f"{path}.")
            continue
        try:
            node[key] = _resolved(data, value, (path,))
        except _UnresolvedError as error:
            yield Issue(path, f"cannot resolve {value!r}: {error}", "${...} names a key of this recipe")


def _has_reference(path: str, value: Any) -> bool:
    return isinstance(value, str) and "${" in value and path not in _PROMPTS


def _resolved(data: Any, text: str, around: tuple[str, ...]) -> Any:
    """A text with its references replaced; a text that is one reference becomes a value of any type.

    `around` are the keys that are being resolved, from the first one to this one.
    """
    if whole := _REFERENCE.fullmatch(text):
        return _value_at(data, whole[1].strip(), around)
    if "${" in _REFERENCE.sub("", text):
        raise _UnresolvedError("not of the form ${key.path}")
    return _REFERENCE.sub(lambda found: _as_text(_value_at(data, found[1].strip(), around)), text)


def _value_at(data: Any, key: str, around: tuple[str, ...]) -> Any:
    """The value at a key, with its own references replaced."""
    if ":" in key:
        raise _UnresolvedError("resolvers such as ${oc.env:NAME} are not allowed")
    if key in around:
        raise _UnresolvedError(f"it goes in a circle: {' -> '.join((*around, key))}")
    try:
        value = get_in(data, key)
    except LookupError:
        raise _UnresolvedError(f"there is no key {key!r}") from None
    return _copied(data, value, key, (*around, key))


def _copied(data: Any, value: Any, path: str, around: tuple[str, ...]) -> Any:
    """A copy of the value at `path` that shares nothing with it."""
    if isinstance(value, dict):
        return {key: _copied(data, inner, f"{path}.{key}", around) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(data, item, f"{path}.{number}", around) for number, item in enumerate(value)]
    return _resolved(data, value, around) if _has_reference(path, value) else value


def _as_text(value: Any) -> str:
    """A value inside a text, as YAML writes it."""
    if isinstance(value, dict | list):
        raise _UnresolvedError("a section or a list cannot stand inside a text")
    return _WORDS[value] if value is None or isinstance(value, bool) else str(value)
