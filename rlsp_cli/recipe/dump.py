"""The complete recipe as YAML that every reader understands alike: PyYAML and YAML 1.2, no word read as a number."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from rlsp_cli.recipe.schema import Recipe


def dump_recipe(recipe: Recipe, *, origins: bool = False) -> str:
    """YAML that `load_recipe` reads back to an equal recipe; with `origins`, each value says where it comes from."""
    return "\n".join(_lines(recipe.model_dump(mode="json"), "", recipe if origins else None)) + "\n"


def _lines(node: dict[str, Any], prefix: str, recipe: Recipe | None) -> Iterator[str]:
    indent = "  " * (prefix.count(".") + 1 if prefix else 0)
    for key, value in node.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(value, path, recipe)
        elif isinstance(value, list) and value:
            yield f"{indent}{_scalar(key)}:{_comment(path, recipe)}"
            yield from _items(value, indent)
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(value)}{_comment(path, recipe)}"


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


def _comment(path: str, recipe: Recipe | None) -> str:
    return f"  # {recipe.origin(path)}" if recipe else ""
