"""Reading rows, and taking the named columns out of them."""

import csv
import hashlib
import json
import math
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rlsp_cli.data.message import content_text, message_text, refuse_unread
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.outside import read_json, valid_text
from rlsp_cli.recipe.schema import Prompts, Rows, Traces
from rlsp_cli.rewards.registry import get_plugin

Turn = tuple[str, str]
"""A role, `system`, `user` or `assistant`, and what it says."""
_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
"""What a data set on the hub is called; a path of two parts looks the same."""
_THOUGHT = "reasoning_content"
"""A column beside the response; others, such as `reasoning`, hold all kinds of things in data sets."""
_TASK_ROWS = 1000
"""Rows that a procedural task makes when the recipe does not say."""


@dataclass(frozen=True)
class Problem:
    """A problem with its reference answer; `metadata` holds the other columns."""

    id: str
    problem: str
    answer: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """A demonstration; `turns` is the conversation before the response, for data that comes as conversations.

    `answer` is the column of that name, where the row has one and is not a longer conversation.
    """

    prompt: str
    response: str
    turns: tuple[Turn, ...] = ()
    answer: str | None = None

    @property
    def problem(self) -> str:
        """The prompt, as in a `Problem`."""
        return self.prompt


def trace_rows(traces: Traces, files: Sequence[str] = ()) -> list[Trace]:
    """The demonstrations of a recipe; DataError names the row and its columns."""
    rows = source_rows(traces, files)
    if traces.messages is not None:
        return [trace for place, row in rows for trace in conversation_traces(row, traces.messages, place)]
    return [
        Trace(column_text(row, traces.prompt, place), response_text(row, traces.response, place), answer=_answer(row))
        for place, row in rows
    ]


def _answer(row: Mapping[str, Any]) -> str | None:
    answer = row.get("answer")
    return str(answer) if isinstance(answer, str | int | float) and str(answer).strip() else None


def training_rows(traces: Sequence[Trace], val_rows: int) -> tuple[Sequence[Trace], Sequence[Trace]]:
    """(training, validation): the last `val_rows` are kept out of training; DataError when nothing is left."""
    if val_rows >= len(traces):
        raise DataError(f"sft.val_rows is {val_rows}, and there are {len(traces)} traces; keep fewer out")
    split = len(traces) - val_rows
    return traces[:split], traces[split:]


def conversation_traces(row: Mapping[str, Any], column: str, place: str) -> Iterator[Trace]:
    """One trace for each assistant turn, with all turns before it: as the model will see it when it answers."""
    turns = conversation_turns(row, column, place)
    answers = [n for n, (role, _) in enumerate(turns) if role == "assistant"]
    if not answers or answers[0] == 0:
        raise DataError(f"{place}: column {column!r} needs a user's turn and an assistant's after it")
    answer = _answer(row) if len(answers) == 1 else None
    for n in answers:
        yield Trace(prompt=turns[n - 1][1], response=turns[n][1], turns=turns[:n], answer=answer)


def prompt_rows(prompts: Prompts, files: Sequence[str] = ()) -> list[Problem]:
    """The problems of a recipe; DataError names the row and its columns."""
    return problems_of(source_rows(prompts, files), prompts)


def problems_of(rows: Sequence[tuple[str, Mapping[str, Any]]], prompts: Prompts) -> list[Problem]:
    """The problems in (place, row) pairs, by the columns of `prompts`; DataError names the row and its columns."""
    used = {prompts.problem, prompts.answer, prompts.id}
    return [
        Problem(
            id=str(row.get(prompts.id, number)),
            problem=column_text(row, prompts.problem, place),
            answer=column_text(row, prompts.answer, place),
            metadata=plain_columns({key: value for key, value in row.items() if key not in used}),
        )
        for number, (place, row) in enumerate(rows)
    ]


def source_digest(source: str) -> str | None:
    """SHA-256 of a data file; None for tasks and the hub, which are named by plugin digest and revision."""
    path = Path(source)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def source_rows(rows: Rows, files: Sequence[str] = ()) -> list[tuple[str, dict[str, Any]]]:
    """(place, row) pairs with all columns, at least one; DataError when there is none."""
    if rows.source.startswith("task:"):
        found = _task_rows(rows, files)
    elif rows.source.startswith("hf:"):
        found = _hub_rows(rows)
    else:
        found = _file_rows(Path(rows.source))
    taken = list(islice(found, rows.rows))
    if not taken:
        raise DataError(f"{rows.source}: no rows in this data set")
    return taken


def _task_rows(rows: Rows, files: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    plugin = get_plugin("task", rows.source.removeprefix("task:"), files)
    options = plugin.options.model_validate(rows.options).model_dump()
    for index in range(rows.rows or _TASK_ROWS):
        place = f"{rows.source} {rows.split}:{index}"
        try:
            yield place, plugin.function(index, rows.split, **options)
        except Exception as error:
            raise DataError(f"{place}: the task makes no row: {type(error).__name__}: {error}") from error


def _hub_rows(rows: Rows) -> Iterator[tuple[str, dict[str, Any]]]:
    name, _, revision = rows.source.removeprefix("hf:").partition("@")
    try:
        import datasets
    except ImportError as error:
        raise NotReadyError(
            f"{rows.source}: reading from the hub needs `pip install 'rlsp[hub]'`; or name a file"
        ) from error
    try:
        loaded = datasets.load_dataset(name, rows.config, split=rows.split, revision=revision or None)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise NotReadyError(
            f"{rows.source} ({rows.split}): the hub did not give it: {reason}; name a file instead"
        ) from error
    for number, row in enumerate(loaded):
        yield f"{rows.source}:{number}", dict(row)


def _file_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    readers = {".jsonl": jsonl_rows, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    if not path.exists() and HUB_ID.fullmatch(str(path)) and path.suffix not in readers:
        raise DataError(f"{path}: no such file; a data set on the hub is written hf:{path}")
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder, expected a file' if path.is_dir() else 'no such file'}")
    if path.suffix not in readers:
        raise DataError(f"{path}: cannot read {path.suffix or 'a file without an ending'}; known: {', '.join(readers)}")
    return readers[path.suffix](path)


def jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) pairs of a JSON Lines file; DataError names the line that is no object."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield f"{path}:{number}", _object(line, f"{path}:{number}")


def _json(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        rows = read_json(path.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: expected a list of objects")
    yield from ((f"{path} row {number}", row) for number, row in enumerate(rows, 1))


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)  # a long solution is more than the usual 128 KiB
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            for row in reader:
                yield f"{path}:{reader.line_num}", row
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}:{reader.line_num + 1}: not valid CSV: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise NotReadyError(f"{path}: Parquet needs `pip install 'rlsp[hub]'`") from error
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not valid Parquet: {str(error)[:200]}") from error
    yield from ((f"{path} row {n}", row) for n, row in enumerate(rows, 1))


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = read_json(line.removeprefix(BOM_UTF8))
    except json.JSONDecodeError as error:
        raise DataError(f"{place}:{error.colno}: not valid JSON: {error.msg}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: expected an object, found {type(row).__name__}")
    return row


def plain_columns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Only what JSON has: plugins run in other processes; arrays become lists, NaN null, dates and the rest text."""
    text = json.dumps(dict(metadata), default=_as_json)
    data: dict[str, Any] = json.loads(text, parse_constant=_no_number)
    return data


def _no_number(constant: str) -> str | None:
    """NaN is how tables write that there is nothing; infinities are told by their names."""
    return None if constant == "NaN" else constant


def _as_json(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def conversation_turns(row: Mapping[str, Any], column: str, place: str) -> tuple[Turn, ...]:
    """(role, content) of a conversation, whichever of the two usual spellings it has; DataError for what is none.

    Thinking that stands apart from the content goes before it, between tags; a field that nothing reads is an error.
    """
    value = row.get(column)
    if not isinstance(value, Sequence) or not all(isinstance(turn, Mapping) for turn in value):
        raise DataError(
            f"{place}: column {column!r} must hold a list of {{role, content}}; columns: {', '.join(map(str, row))}"
        )
    return tuple(_turn(turn, place) for turn in value)


def _turn(message: Mapping[str, Any], place: str) -> Turn:
    said = message.get("role") or message.get("from")
    role = _ROLES.get(str(said))
    try:
        text = message_text(message) if role == "assistant" else content_text(message)
        if role == "assistant":
            refuse_unread(message, text)
    except ValueError as error:
        raise DataError(f"{place}: a turn of role {said!r}: {error}") from error
    if role is None or not text.strip():
        raise DataError(f"{place}: a turn of role {said!r} without text, or a role other than {', '.join(_ROLES)}")
    return role, text


def response_text(row: Mapping[str, Any], column: str, place: str) -> str:
    """The text of a response's column, with the thinking of a column `reasoning_content` before it between tags."""
    thought, answer = row.get(_THOUGHT), row.get(column)
    if column not in row or column == _THOUGHT or not isinstance(thought, str | Sequence | Mapping):
        return column_text(row, column, place)
    said = str(answer) if isinstance(answer, int | float) else answer
    try:
        text = message_text({"content": said, _THOUGHT: thought})
    except ValueError as error:
        raise DataError(f"{place}: columns {column!r} and {_THOUGHT!r}: {error}") from error
    return text or column_text(row, column, place)


def column_text(row: Mapping[str, Any], column: str, place: str) -> str:
    """The text of a column; DataError when it is missing, empty or neither text nor a number."""
    if column not in row:
        raise DataError(f"{place}: no column {column!r}; its columns: {', '.join(map(str, row))}")
    value = row[column]
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{place}: column {column!r} is empty")
    if not isinstance(value, str | int | float):
        raise DataError(f"{place}: column {column!r} holds {type(value).__name__}, expected text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{place}: column {column!r} holds {value}, which is no number; expected one, or text")
    return valid_text(str(value))
