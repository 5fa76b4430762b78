"""Reading the rows of a source: a file, a data set on the hub, or a procedural task."""

import csv
import hashlib
import json
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rlsp_cli.data.kept import kept
from rlsp_cli.data.row import Row
from rlsp_cli.data.row_function import RowFunction
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.outside import read_json
from rlsp_cli.recipe.rows import Prompts, Rows
from rlsp_cli.rewards.registry import get_plugin

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
"""The name of a data set on the hub. A path of two parts has the same form."""
_TASK_ROWS = 1000
"""Rows that a procedural task makes by default."""


@kept
def source_rows(rows: Rows, files: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a source, after its row function; `files` are the recipe's plugin files.

    DataError when there is no row, and when the row function makes none of one.
    """
    if rows.is_task:
        found = _task_rows(rows, files)
    elif rows.on_hub:
        found = _hub_rows(rows)
    else:
        found = _file_rows(Path(rows.source))

    # Sources are read lazily, so that rows behind a limit are never parsed.
    taken = islice(found, rows.rows)
    first = next(taken, None)
    if first is None:
        raise DataError(f"{rows.source}: no rows in this data set")

    if rows.row is None:
        yield first
        yield from taken
    else:
        function = RowFunction.of(rows.row, _id_column(rows), files)
        yield from function.over(chain([first], taken))


def _id_column(rows: Rows) -> str:
    return rows.id if isinstance(rows, Prompts) else "id"


def source_digest(source: str) -> str | None:
    """SHA-256 of a file; None for tasks, which have their plugin's digest, and hub revisions."""
    path = Path(source)
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def jsonl_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON Lines file; DataError names the line that is no object."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield _json_row(line, f"{path}:{number}")


def _task_rows(rows: Rows, files: Sequence[str]) -> Iterator[Row]:
    plugin = get_plugin("task", rows.source.removeprefix("task:"), files)
    options = plugin.options.model_validate(rows.options).model_dump()
    for index in range(rows.rows or _TASK_ROWS):
        place = f"{rows.source} {rows.split}:{index}"

        # A plugin is the user's code, and may raise anything.
        try:
            yield Row(place, plugin.function(index, rows.split, **options))
        except NotReadyError:
            raise  # it lacks something on this machine
        except Exception as error:
            raise DataError(
                f"{place}: the task makes no row: {type(error).__name__}: {error}"
            ) from error


def _hub_rows(rows: Rows) -> Iterator[Row]:
    for number, row in enumerate(_loaded(rows.source, rows.config, rows.split)):
        yield Row(f"{rows.source}:{number}", dict(row))


@cache
def _loaded(source: str, config: str | None, split: str) -> Iterable[Mapping[str, Any]]:
    """A data set on the hub, which `datasets` keeps on disk; it asks the network once."""
    name, _, revision = source.removeprefix("hf:").partition("@")
    try:
        import datasets
    except ImportError as error:
        raise NotReadyError(
            f"{source}: reading from the hub needs `pip install 'rlsp[hub]'`; or name a file"
        ) from error

    try:
        loaded: Iterable[Mapping[str, Any]] = datasets.load_dataset(
            name, config, split=split, revision=revision or None
        )
    except Exception as error:
        # `datasets` raises many types, from the network, the hub and parsers.
        reason = str(error).strip().partition("\n")[0]
        raise NotReadyError(
            f"{source} ({split}): cannot load it from the hub: {reason}; name a file instead"
        ) from error
    return loaded


def _file_rows(path: Path) -> Iterator[Row]:
    readers = {
        ".jsonl": jsonl_rows,
        ".json": _json_rows,
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
    }
    # A hub id without its prefix is the likely mistake.
    if not path.exists() and HUB_ID.fullmatch(str(path)) and path.suffix not in readers:
        raise DataError(f"{path}: no such file; a data set on the hub is written hf:{path}")
    if not path.is_file():
        fault = "is a folder, expected a file" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {fault}")
    if path.suffix not in readers:
        found = path.suffix or "a file without an ending"
        raise DataError(f"{path}: cannot read {found}; known: {', '.join(readers)}")

    return readers[path.suffix](path)


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        rows = read_json(path.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: expected a list of objects")

    for number, row in enumerate(rows, 1):
        yield Row(f"{path} row {number}", row)


def _csv_rows(path: Path) -> Iterator[Row]:
    # A long solution is more than the default of 128 KiB.
    csv.field_size_limit(sys.maxsize)

    # `utf-8-sig` drops the byte order mark that spreadsheets write.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            for row in reader:
                yield Row(f"{path}:{reader.line_num}", row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}:{reader.line_num + 1}: not valid CSV: {error}") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise NotReadyError(f"{path}: Parquet needs `pip install 'rlsp[hub]'`") from error

    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield Row(f"{path} row {number}", row)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not valid Parquet: {str(error)[:200]}") from error


def _json_row(line: bytes, place: str) -> Row:
    try:
        columns = read_json(line.removeprefix(BOM_UTF8))
    except json.JSONDecodeError as error:
        raise DataError(f"{place}:{error.colno}: not valid JSON: {error.msg}") from error
    if not isinstance(columns, dict):
        raise DataError(f"{place}: expected an object, found {type(columns).__name__}")
    return Row(place, columns)
