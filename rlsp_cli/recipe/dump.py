"""The complete recipe as YAML that readers of YAML 1.1 and 1.2 understand alike."""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from rlsp_cli.recipe.schema import Recipe

Comment = Callable[[str], str]
"""Dotted key -> what follows its value, such as `  # default`."""

_PLAIN = re.compile(r"[A-Za-z_./][\w./:-]*[\w/]|[A-Za-z_]", re.ASCII)
"""Text that needs no quotes."""
_RESERVED = re.compile(r"true|false|yes|no|on|off|null|y|n|\.inf|\.nan|\.\d.*", re.I)
"""Plain text that some reader takes for a truth value, null or a number."""
_UNPRINTABLE = re.compile(r"[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that YAML needs escaped and JSON does not, such as further line ends."""


def dump_recipe(recipe: Recipe, *, origins: bool = False) -> str:
    """YAML that `load_recipe` reads back to an equal recipe; `origins` adds each value's origin."""

    def origin(path: str) -> str:
        return f"  # {recipe.origin(path)}"

    return dump_data(recipe.model_dump(mode="json"), origin if origins else _nothing)


def _nothing(_: str) -> str:
    return ""


def dump_data(data: dict[str, Any], comment: Comment = _nothing) -> str:
    """Plain data as the same kind of YAML; `comment` is called with dotted keys."""
    return "\n".join(_lines(data, "", comment)) + "\n"


def _lines(node: dict[str, Any], prefix: str, comment: Comment) -> Iterator[str]:
    indent = "  " * (prefix.count(".") + 1 if prefix else 0)
    for key, value in node.items():
        path = f"{prefix}.{key}" if prefix else key
        name = f"{indent}{_flow(key)}:"

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
        parts = [f"{_flow(key)}: {_flow(part)}" for key, part in value.items()]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _number(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"

    # YAML 1.1 reads 1e-05 as text, and 1.0e-05 as a number.
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))


def _text(value: str) -> str:
    """Plain if no reader takes it for something else; otherwise quoted, and escaped as in JSON."""
    if _PLAIN.fullmatch(value) and not _RESERVED.fullmatch(value):
        return value

    return _UNPRINTABLE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )
