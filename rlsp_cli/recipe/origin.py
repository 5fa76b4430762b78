"""Where a value of a recipe comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """A place in a file, an override, or the default; `order` is override, line and column."""

    text: str
    order: tuple[int, int, int] = (1 << 30, 0, 0)  # behind everything that is written

    def __str__(self) -> str:
        return self.text


DEFAULT = Origin("default")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted key; lists are leaves."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}

    found: dict[str, Any] = {}
    for name, part in value.items():
        found |= flat(part, f"{prefix}.{name}".lstrip("."))
    return found


def nearest_origin(path: str, origins: Mapping[str, Origin]) -> Origin | None:
    """The origin of a dotted key, or of the nearest section around it that is written down."""
    while path:
        if path in origins:
            return origins[path]
        path = path.rpartition(".")[0]
    return None
