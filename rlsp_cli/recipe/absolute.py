"""Relative paths in raw data, made absolute: they belong to the folder of the file that wrote them."""

from pathlib import Path
from typing import Any

from rlsp_cli.recipe.tree import items_of

_NEW_FILES = ("cache", "lexicon", "against")
"""Keys that always hold a path, also of a file that is yet to be written."""
_NAMES_OR_FILES = ("path", "data", "responses")
"""Keys that hold a path when something is there, and else a name, such as a hub id."""


def make_absolute(node: Any, folder: Path, key: str = "") -> None:
    """Make the relative paths in nested data absolute against `folder`, in place; `key` is that of the node."""
    for name, value in items_of(node):
        inner = name if isinstance(name, str) else key
        if isinstance(value, str):
            node[name] = _absolute(value, folder, inner)
        else:
            make_absolute(value, folder, inner)


def _absolute(value: str, folder: Path, key: str) -> str:
    if not _is_path(value, folder, key):
        return value
    path = Path(value).expanduser()
    return str(path) if path.is_absolute() else str((folder / path).resolve())


def _is_path(value: str, folder: Path, key: str) -> bool:
    if value.startswith(("./", "../", "~/")):
        return True
    if key == "source":
        return not value.startswith(("hf:", "task:")) and "${" not in value
    return key in _NEW_FILES or (key in _NAMES_OR_FILES and _exists(folder / value))


def _exists(path: Path) -> bool:
    """Whether something is there; a text that is too long for a path names nothing."""
    try:
        return path.exists()
    except OSError:
        return False
