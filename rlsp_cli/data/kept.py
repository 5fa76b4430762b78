"""A cache of sources: a command parses each once, however many of its steps read it."""

from collections.abc import Callable, Hashable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from rlsp_cli.recipe.schema import Rows

Source = TypeVar("Source", bound=Rows)
Item = TypeVar("Item")

_KEPT: dict[Hashable, Sequence[Any]] = {}


def kept(
    read: Callable[[Source, Sequence[str]], Sequence[Item]],
) -> "Callable[..., Sequence[Item]]":
    """Make a reader of sources read each only once in this process, or when its file changes.

    The rows are shared between callers, who must not change them.
    """

    @wraps(read)
    def reader(rows: Source, files: Sequence[str] = ()) -> Sequence[Item]:
        # The whole section, since it also says which columns and how many rows are read.
        key = (read, rows.model_dump_json(), tuple(files), _file_state(rows.source))
        if key not in _KEPT:
            _KEPT[key] = read(rows, files)
        return _KEPT[key]

    return reader


def forget_rows() -> None:
    """Empty the cache: a command that waits for days should not hold gigabytes of rows."""
    _KEPT.clear()


def _file_state(source: str) -> tuple[Path, int, int] | None:
    """Path, time of the last change in nanoseconds, size in bytes; None if it is no file."""
    path = Path(source)
    if not path.is_file():
        return None
    state = path.stat()
    return path.resolve(), state.st_mtime_ns, state.st_size
