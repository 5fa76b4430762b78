"""Nested plain data by dotted keys, such as `reward.exploration.0.scale`."""

from collections.abc import Iterator
from typing import Any


def items_of(node: Any) -> list[tuple[Any, Any]]:
    """(key, value) of a mapping, (number, item) of a list; nothing of another value."""
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, list):
        return list(enumerate(node))
    return []


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that is neither a mapping nor a list."""
    # An empty mapping or list has no leaf.
    if not isinstance(node, dict | list):
        yield prefix, node
    for key, value in items_of(node):
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
