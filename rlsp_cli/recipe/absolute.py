"""Relative paths in raw data, made absolute against the folder of their file."""

from pathlib import Path
from typing import Any

from rlsp_cli.recipe.tree import items_of

_NEW_FILES = ("cache", "lexicon", "against")
"""Keys that always hold a path, even to a file that does not exist yet."""
_NAMES_OR_FILES = ("path", "data", "responses")
"""Keys that hold a path if it exists, and otherwise a name, such as a hub id."""


def make_absolute(node: Any, folder: Path, key: str = "") -> None:
    """Make relative paths in nested data absolute against `folder`, in place."""
    for name, value in items_of(node):
        # An item of a list belongs to the list's key.
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
        # A value with ${...} is resolved later, from paths that are absolute by then.
        return not value.startswith(("hf:", "task:")) and "${" not in value
    return key in _NEW_FILES or (key in _NAMES_OR_FILES and _exists(folder / value))


def _exists(path: Path) -> bool:
    # A text that is too long for a path raises an OSError, and names nothing.
    try:
        return path.exists()
    except OSError:
        return False
