"""A file of responses that is read in pieces: where its rows begin, and a light row of each."""

import json
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from rlsp_cli.rewards.lexicon import Lexicon, Mark
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import Tail
from rlsp_cli.view.light_row import light_row, parsed_line

PIECE = 50
"""Rows that are read together."""
_BYTES_AT_ONCE = 8 << 20
"""Bytes that are indexed for one answer."""
_ROWS_AT_ONCE = 5_000
"""Light rows of one answer."""
_COUNTED_AT_ONCE = 300_000
"""Characters in which behaviours are counted for one answer, some tenths of a second."""


class RowFile:
    """The rows of a file that may still grow.

    Texts stay in the file: memory holds an offset and some eighty bytes a row. Damaged lines are
    counted and left out.
    """

    def __init__(self, path: Path, lexicon: Lexicon) -> None:
        self.path, self.lexicon = path, lexicon
        self.damaged = 0
        self._tail, self._lock, self._counting = Tail(path), Lock(), Lock()
        self._starts, self._light = array("q"), list[bytes]()
        self._counts: list[bytes] = []

    def __len__(self) -> int:
        """The rows that are indexed."""
        return len(self._light)

    @property
    def trees(self) -> Path:
        """The file of the trees that responses were searched in; it may not be there."""
        return AnswerPaths(self.path.parent).trees

    @property
    def times_anew(self) -> int:
        """How often the file was found to be another one; rows are numbered from 0 again."""
        return self._tail.times_anew

    def light_rows(self, start: int) -> list[bytes]:
        """Light rows from number `start` on, as JSON; none if there are no more for now."""
        with self._lock:
            if start >= len(self._light):
                self._extend()
            return self._light[start : start + _ROWS_AT_ONCE]

    def behaviour_counts(self, start: int) -> list[bytes]:
        """How often each behaviour of the lexicon occurs in the indexed rows from `start` on."""
        with self._counting:
            if start >= len(self._counts):
                self._count()
            return self._counts[start : start + _ROWS_AT_ONCE]

    def piece(self, number: int) -> list[Mapping[str, Any]]:
        """The whole rows of a piece."""
        return list(self.rows(number * PIECE, (number + 1) * PIECE))

    def marks(self, number: int) -> list[list[Mark]]:
        """Where behaviours occur in each response of a piece."""
        return [self.lexicon.marks(row["response"]) for row in self.piece(number)]

    def rows(self, start: int, end: int) -> Iterator[Mapping[str, Any]]:
        """The whole rows from number `start` to before `end`, as far as they are indexed."""
        with self._lock:
            starts = self._starts[start:end]
        with self.path.open("rb") as stream:
            for place in starts:
                stream.seek(place)
                yield parsed_line(stream.readline())

    def _extend(self) -> None:
        before = self.times_anew
        lines = self._tail.lines(_BYTES_AT_ONCE)
        if self.times_anew != before:
            self._forget()

        place = self._tail.position - sum(map(len, lines))
        for line in lines:
            self._add(place, line)
            place += len(line)

    def _add(self, place: int, line: bytes) -> None:
        try:
            light = light_row(parsed_line(line))
        except ValueError:
            self.damaged += 1
        else:
            self._starts.append(place)
            self._light.append(json.dumps(light).encode())

    def _forget(self) -> None:
        self.damaged = 0
        del self._starts[:], self._light[:], self._counts[:]

    def _count(self) -> None:
        # Without the lock on the rows, which others ask for meanwhile.
        anew, characters, counts = self.times_anew, 0, list[bytes]()
        for row in self.rows(len(self._counts), len(self)):
            counts.append(json.dumps(list(self.lexicon.counts(row["response"]).values())).encode())
            characters += len(row["response"])
            if characters > _COUNTED_AT_ONCE:
                break

        with self._lock:
            if self.times_anew == anew:
                self._counts += counts
