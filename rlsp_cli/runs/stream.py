"""Files that a crash cannot half-write: append-only JSON Lines, and documents renamed into place.

A disk may still lose what was written before a power cut: damage is a DataError with its place.
"""

import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from rlsp_cli.errors import DataError

Row = dict[str, Any]
_SURROGATES = "backslashreplace"
"""A lone surrogate, for which UTF-8 has no bytes, is written as `\\ud83d`, its form in JSON."""
_SHOWN = 40
"""How much of a damaged line an error shows, in bytes or characters."""


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append one JSON object per line; non-finite numbers are refused, because JSON has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)

    with path.open("ab+") as stream:
        # A process that was killed may have left half a line, which would swallow the first row.
        _cut_half_line(stream)
        stream.write(text.encode(errors=_SURROGATES))


def read_rows(path: Path, shape: type[BaseModel] | None = None) -> Iterator[Row]:
    """The rows in the whole lines of a stream; none if it is missing.

    A last line that a crash has cut off is left out. DataError names the line that is not an
    object, or not of the `shape`.
    """
    for number, line in enumerate(_whole_lines(path), 1):
        yield _row(line, path, number, shape)


def read_json(path: Path, shape: type[BaseModel] | None = None) -> Row:
    """A document; DataError when it is missing, no object, or not of the `shape`."""
    try:
        return _object(path.read_bytes(), shape)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; --resume writes it anew") from error
    except ValueError as error:
        raise DataError(
            f"{path}: damaged: {error}; move it away, and --resume writes it anew"
        ) from error


class Tail:
    """Reads what is appended to a stream; starts again when the file was written anew.

    `times_anew` counts how often it was, as after a resume, which cuts off rows.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.position, self.last, self.times_anew = path, 0, b"", 0

    def rows(self) -> list[Row]:
        """The JSON objects in the whole lines since the last call."""
        return [_row(line, self.path, None) for line in self.lines()]

    def lines(self, most: int = -1) -> list[bytes]:
        """The whole lines since the last call; about `most` bytes of them, all if it is negative."""
        if not self.path.exists():
            return []

        with self.path.open("rb") as stream:
            # Another file of this name has another line where the last one was read. Its size does
            # not tell: the new file may already be longer than the old one.
            stream.seek(self.position - len(self.last))
            if stream.read(len(self.last)) != self.last:
                self.position, self.last = stream.seek(0), b""
                self.times_anew += 1
            lines = stream.readlines(most)

        # What follows the last newline is still being written.
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        if lines:
            self.position += sum(map(len, lines))
            self.last = lines[-1]
        return lines


def drop_rows_from(path: Path, step: int) -> None:
    """Cut off the rows that a resumed stage will write again: those of `step` and later.

    Rows are in the order of their steps. A half-written last line goes too. What stays is neither
    read nor written, since rollouts are large.
    """
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as stream:
            # One call, which a kill cannot interrupt.
            stream.truncate(_end_of_rows_before(step, stream, path))
            os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a document beside its place, then rename it."""
    write_lines(path, [text])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a large document line by line beside its place, then rename it."""
    _write_bytes(path, (line.encode(errors=_SURROGATES) for line in lines))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines whole or not at all."""
    write_lines(path, (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, indented, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write_bytes(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    # In the same folder, because only there a rename replaces a file in one step; and with a name
    # of this process, because another one may write the same document.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            stream.writelines(parts)
            stream.flush()

            # A file system may write the new name before the content, and a power cut come in between.
            os.fsync(stream.fileno())

        draft.replace(path)
    finally:
        # Still there when a part could not be made or written.
        draft.unlink(missing_ok=True)


class _Step(BaseModel):
    step: int


def _end_of_rows_before(step: int, stream: BinaryIO, path: Path) -> int:
    """Where in a stream the first row of `step` or a later one begins."""
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = text.rfind(b"\n") + 1
        while end:
            start = text.rfind(b"\n", 0, end - 1) + 1
            if _step_at(start, end, text, path) < step:
                break
            end = start
        return end


def _step_at(start: int, end: int, text: mmap.mmap, path: Path) -> int:
    line = text[start:end]
    try:
        return int(_object(line, _Step)["step"])
    except ValueError:
        # Lines are counted for the message alone: that reads the file.
        _row(line, path, text[:end].count(b"\n"), _Step)
        raise


def _row(line: bytes, path: Path, number: int | None, shape: type[BaseModel] | None = None) -> Row:
    try:
        return _object(line, shape)
    except ValueError as error:
        place = str(path) if number is None else f"{path}:{number}"
        raise DataError(f"{place}: damaged: {error}; remove this line, and try again") from error


def _object(text: bytes, shape: type[BaseModel] | None) -> Row:
    """A JSON object; ValueError in one line for anything else, or for another shape."""
    try:
        value: Row = json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: a thousand brackets
        raise ValueError(f"not JSON: {text[:_SHOWN]!r}") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {text[:_SHOWN]!r}")

    try:
        if shape is not None:
            shape.model_validate(value)
    except ValidationError as error:
        # Its own message has several lines; the first error is enough to find the place.
        first = error.errors()[0]
        where, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        found = repr(first["input"])[:_SHOWN]
        raise ValueError(f"{where}: {what[0].lower()}{what[1:]}, found {found}") from error

    # The object itself and not the model: it may hold more, and is kept as it is.
    return value


def _whole_lines(path: Path) -> Iterator[bytes]:
    # Bytes, because a line may have been cut off in the middle of a character.
    if path.exists():
        with path.open("rb") as stream:
            yield from (line for line in stream if line.endswith(b"\n"))


def _cut_half_line(stream: BinaryIO) -> None:
    """Leave a stream that was opened to append at the end of its last whole line."""
    # The last byte alone tells, so that a large file is read only after a crash.
    end = stream.seek(0, os.SEEK_END)
    if end == 0 or stream.seek(end - 1) != end - 1 or stream.read(1) == b"\n":
        return

    stream.seek(0)
    stream.truncate(sum(len(line) for line in stream if line.endswith(b"\n")))
