"""Files that a crash cannot half-write: append-only JSON Lines streams, and documents renamed into place.

What is damaged all the same is a DataError with its place: a disk may lose what was written before
    a power cut.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from rlsp_cli.errors import DataError

Row = dict[str, Any]
_HALVES = "backslashreplace"
"""How a lone surrogate is written, which UTF-8 cannot: as `\\ud83d`. In JSON that is its own spelling."""


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append one JSON object per line; non-finite numbers are refused, because JSON has none.

    A half-written last line, of a process that was killed, is cut off first: else both would be one
    broken line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    with path.open("ab+") as stream:
        _cut_half_line(stream)
        stream.write(text.encode(errors=_HALVES))


def read_rows(path: Path, shape: type[BaseModel] | None = None) -> Iterator[Row]:
    """The whole lines of a stream; a last line that was cut off by a crash is passed over. Nothing if it is missing.

    DataError names the line that is not an object, or not of the `shape`.
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

    It knows so by the last line that it read: a new file may already be longer than the old one
        was.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.position, self.last = path, 0, b""

    def rows(self) -> list[Row]:
        """The JSON objects in the whole lines since the last call."""
        return [_row(line, self.path, None) for line in self.lines()]

    def lines(self) -> list[bytes]:
        """The whole lines since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self.position - len(self.last))
            if stream.read(len(self.last)) != self.last:
                self.position, self.last = stream.seek(0), b""
            whole, newline, _ = stream.read().rpartition(b"\n")
        lines = whole.splitlines(keepends=True)
        if lines:
            self.position, self.last = (
                self.position + len(whole) + len(newline),
                lines[-1] + newline,
            )
        return lines


def drop_rows_from(path: Path, step: int) -> None:
    """Remove what a resumed stage will write again: rows with `step` or later, and a half-written last line.

    Line by line, since rollouts are large; the file stays as it was until the new one is whole.
    """
    if path.exists():
        lines = enumerate(_whole_lines(path), 1)
        _write_bytes(
            path, (line for number, line in lines if _row(line, path, number, _Step)["step"] < step)
        )


def write_text(path: Path, text: str) -> None:
    """Write a document beside its place, then rename it."""
    write_lines(path, [text])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a large document line by line beside its place, then rename it."""
    _write_bytes(path, (line.encode(errors=_HALVES) for line in lines))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines whole or not at all."""
    write_lines(path, (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, indented, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write_bytes(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        stream.writelines(parts)
        stream.flush()
        os.fsync(stream.fileno())  # or a power cut could leave the new name with nothing in it
    draft.replace(path)


class _Step(BaseModel):
    step: int


def _row(line: bytes, path: Path, number: int | None, shape: type[BaseModel] | None = None) -> Row:
    try:
        return _object(line, shape)
    except ValueError as error:
        place = str(path) if number is None else f"{path}:{number}"
        raise DataError(f"{place}: damaged: {error}; remove this line, and try again") from error


def _object(text: bytes, shape: type[BaseModel] | None) -> Row:
    """A JSON object; ValueError in one line when it is none, or not of the shape."""
    try:
        value: Row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {text[:40]!r}") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {text[:40]!r}")
    try:
        if shape is not None:
            shape.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise ValueError(
            f"{where}: {what[0].lower()}{what[1:]}, found {first['input']!r:.40}"
        ) from error
    return value


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Bytes, because a line may have been cut off in the middle of a character."""
    if path.exists():
        with path.open("rb") as stream:
            yield from (line for line in stream if line.endswith(b"\n"))


def _cut_half_line(stream: BinaryIO) -> None:
    """Leave a stream that was opened to append at the end of its last whole line."""
    end = stream.seek(0, os.SEEK_END)
    if end == 0 or stream.seek(end - 1) != end - 1 or stream.read(1) == b"\n":
        return
    stream.seek(0)
    stream.truncate(sum(len(line) for line in stream if line.endswith(b"\n")))
