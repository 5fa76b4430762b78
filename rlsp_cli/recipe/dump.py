"""The complete recipe as YAML that every reader understands alike, YAML 1.1 and 1.2: no word is read as a number."""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from rlsp_cli.recipe.schema import Recipe

Comment = Callable[[str], str]
"""What follows the value of a dotted key, such as `  # default`."""

_PLAIN = re.compile(r"[A-Za-z_./][\w./:-]*[\w/]|[A-Za-z_]", re.ASCII)
"""Text that needs no quotes."""
_RESERVED = re.compile(r"true|false|yes|no|on|off|null|y|n|\.inf|\.nan|\.\d.*", re.I)
"""Text of that form which some reader takes for a truth value, null or a number."""
_UNPRINTABLE = re.compile(r"[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that YAML wants escaped, or that would end a line, and that JSON leaves as they are."""


def dump_recipe(recipe: Recipe, *, origins: bool = False) -> str:
    """YAML that `load_recipe` reads back to an equal recipe; with `origins`, each value says where it comes from."""
    data = recipe.model_dump(mode="json")
    return dump_data(data, (lambda path: f"  # {recipe.origin(path)}") if origins else _nothing)


def _nothing(_: str) -> str:
    return ""


def dump_data(data: dict[str, Any], comment: Comment = _nothing) -> str:
    """Plain data as the same kind of YAML; `comment` gives what follows the value of a dotted key."""
    return "\n".join(_lines(data, "", comment)) + "\n"


def _lines(node: dict[str, Any], prefix: str, comment: Comment) -> Iterator[str]:
    indent = "  " * (prefix.count(".") + 1 if prefix else 0)
    for key, value in node.items():
        path, name = f"{prefix}.{key}" if prefix else key, f"{indent}{_flow(key)}:"
        if isinstance(value, dict) and value:
            yield name
            yield from _lines(value, path, comment)
        elif isinstance(value, list) and value:
            yield f"{name}{comment(path)}"
            for item in value:
                yield f"{indent}- {_flow(item)}"
        else:
            yield f"{name} {_flow(value)}{comment(path)}"


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _number(value: float) -> str:
    """YAML 1.1 reads a number with an exponent as text unless it has a point: `1.0e-05`."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))


def _text(value: str) -> str:
    """Plain where no reader takes it for something else; else in double quotes, which YAML reads as JSON does."""
    if _PLAIN.fullmatch(value) and not _RESERVED.fullmatch(value):
        return value
    return _UNPRINTABLE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )
