"""A cache of sources: a command parses a small one once, and reads a large one from disk at each use."""

import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from rlsp_cli.recipe.rows import Rows

Source = TypeVar("Source", bound=Rows)
Item = TypeVar("Item")

_MOST = 2_000
"""Rows of the largest file or data set that is kept: traces of 10,000 tokens make some 100 MB."""

_KEPT: dict[Hashable, Collection[Any]] = {}


class Streamed(Collection[Item]):
    """Rows that are read from their source whenever they are iterated, and never all in memory.

    Reading may raise what `read` raises, at any row.
    """

    def __init__(self, read: Callable[[], Iterable[Item]]) -> None:
        self._read = read
        self._length: int | None = None

    def __iter__(self) -> Iterator[Item]:
        number = 0
        for item in self._read():
            number += 1
            yield item

        # Whoever asks for the number after a pass need not wait for another one.
        self._length = number

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self._read())
        return self._length

    def __contains__(self, item: object) -> bool:
        return any(item == other for other in self)


def kept(
    read: Callable[[Source, Sequence[str]], Iterable[Item]],
) -> "Callable[..., Collection[Item]]":
    """Make a reader of sources read a small one only once in this process, or when its file changes.

    The rows are shared between callers, who must not change them. More than 2,000 rows become a
    `Streamed`, unless a procedural task makes them: that takes longer than to read, and they are
    short.
    """

    @wraps(read)
    def reader(rows: Source, files: Sequence[str] = ()) -> Collection[Item]:
        # The whole section, since it also says which columns and how many rows are read.
        key = (read, rows.model_dump_json(), tuple(files), _file_state(rows.source))
        if key not in _KEPT:
            most = sys.maxsize if rows.is_task else _MOST
            found = _at_most(most, read(rows, files))
            _KEPT[key] = Streamed(lambda: read(rows, files)) if found is None else found
        return _KEPT[key]

    return reader


def forget_rows() -> None:
    """Empty the cache: a command that waits for days should not hold rows."""
    _KEPT.clear()


def _at_most(most: int, items: Iterable[Item]) -> list[Item] | None:
    """All items, unless they are more."""
    found = []
    for item in items:
        found.append(item)
        if len(found) > most:
            return None
    return found


def _file_state(source: str) -> tuple[Path, int, int] | None:
    """Path, time of the last change in nanoseconds, size in bytes; None if it is no file."""
    path = Path(source)
    if not path.is_file():
        return None
    state = path.stat()
    return path.resolve(), state.st_mtime_ns, state.st_size
