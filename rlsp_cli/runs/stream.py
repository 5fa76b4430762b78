"""Files that a crash cannot half-write: append-only JSON Lines streams, and documents renamed into place."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append one JSON object per line; non-finite numbers are refused, because JSON has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a stream; a last line that was cut off by a crash is passed over. Nothing if it is missing."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if line.endswith("\n"):
                yield json.loads(line)


def whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a stream that is to be appended to: a half-written last line is cut off first."""
    if path.exists():
        text = path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            write_text(path, text[: text.rfind("\n") + 1])
    return list(read_rows(path))


class Tail:
    """Reads what is appended to a stream; starts again when the file was written anew."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def read(self) -> list[dict[str, Any]]:
        """The whole lines since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as stream:
            if self.position > os.fstat(stream.fileno()).st_size:
                self.position = 0
            stream.seek(self.position)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self.position += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]


def drop_rows_from(path: Path, step: int) -> None:
    """Remove what a resumed stage will write again: rows with `step` or later, and a half-written last line."""
    if path.exists():
        kept = [row for row in read_rows(path) if row["step"] < step]
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))


def write_text(path: Path, text: str) -> None:
    """Write a document beside its place, then rename it."""
    write_lines(path, [text])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a large document line by line beside its place, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)
    draft.replace(path)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines whole or not at all."""
    write_lines(path, (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, indented, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
