"""Where a value of a recipe comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """A place in a file, an override, or the schema's default; `order` sorts by override, line and column."""

    text: str
    order: tuple[int, int, int] = (1 << 30, 0, 0)

    def __str__(self) -> str:
        return self.text


DEFAULT = Origin("default")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted key; lists are leaves."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        key: leaf
        for name, part in value.items()
        for key, leaf in flat(part, f"{prefix}.{name}".lstrip(".")).items()
    }


def nearest_origin(path: str, origins: Mapping[str, Origin]) -> Origin | None:
    """The origin of a dotted key, or of the nearest section around it that is written in a file or override."""
    while path:
        if path in origins:
            return origins[path]
        path = path.rpartition(".")[0]
    return None
