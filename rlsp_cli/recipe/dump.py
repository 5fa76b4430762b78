"""The complete recipe as YAML that every reader understands alike: PyYAML and YAML 1.2, no word read as a number."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from rlsp_cli.recipe.schema import Recipe

Comment = Callable[[str], str]
"""What follows the value of a dotted key, such as `  # default`."""


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
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(value, path, comment)
        elif isinstance(value, list) and value:
            yield f"{indent}{_scalar(key)}:{comment(path)}"
            yield from _items(value, indent)
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(value)}{comment(path)}"


def _items(values: list[Any], indent: str) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            inside = ", ".join(f"{_scalar(key)}: {_scalar(part)}" for key, part in value.items())
            yield f"{indent}- {{{inside}}}"
        else:
            yield f"{indent}- {_scalar(value)}"


def _scalar(value: Any) -> str:
    """One value in flow style. Floats get a point (`1.0e-05`), words that some reader takes for another type quotes."""
    if isinstance(value, float):
        text = repr(value)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_./][\w./:-]*[\w/]|[A-Za-z_]", value):
        return yaml.safe_dump(value, default_style='"', width=1 << 30, allow_unicode=True).strip()
    return (
        yaml.safe_dump(value, default_flow_style=True, width=1 << 30, allow_unicode=True)
        .removesuffix("\n...\n")
        .strip()
    )
