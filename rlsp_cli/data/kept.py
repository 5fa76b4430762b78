"""Data that was read is kept, so that a command parses each source once however many of its steps look at it."""

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
    """A reader of sources that reads each once in this process; a file again when it has changed.

    What it returns is shared: nothing may be changed in it.
    """

    @wraps(read)
    def reader(rows: Source, files: Sequence[str] = ()) -> Sequence[Item]:
        key = (read, rows.model_dump_json(), tuple(files), _file_state(rows.source))
        if key not in _KEPT:
            _KEPT[key] = read(rows, files)
        return _KEPT[key]

    return reader


def forget_rows() -> None:
    """Let go of all that was read; a command that waits for days should not hold gigabytes of it."""
    _KEPT.clear()


def _file_state(source: str) -> tuple[Path, int, int] | None:
    """Path, time of the last change in nanoseconds, and size in bytes; None where the source is no file."""
    path = Path(source)
    if not path.is_file():
        return None
    state = path.stat()
    return path.resolve(), state.st_mtime_ns, state.st_size
