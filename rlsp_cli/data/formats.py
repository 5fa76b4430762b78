"""Rows of other shapes become demonstrations. To add a format, write a reader and list it in FORMATS."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.data.rows import column_text, conversation_turns, plain_columns, response_text
from rlsp_cli.errors import DataError
from rlsp_cli.rewards.answers import last_boxed

Row = Mapping[str, Any]

_MARKED = re.compile(
    r"\s*<\|begin_of_thought\|>(.*)<\|end_of_thought\|>\s*<\|begin_of_solution\|>(.*)<\|end_of_solution\|>\s*",
    re.DOTALL,
)
_HINT = "name yours by --problem and --solution; to clean rows without a solution use rlsp data clean"
_MARKER = re.compile(r"<\|(?:begin|end)_of_(?:thought|solution)\|>")


@dataclass(frozen=True)
class Columns:
    """Names of a source's columns; `solution` is None where no solution is wanted, because one will be sampled."""

    problem: str = "problem"
    solution: str | None = "solution"
    answer: str = "answer"


class Content(NamedTuple):
    """What a reader takes out of a row; `used` names the columns that are not carried over as they are."""

    problem: str
    solution: str
    reference: str | None
    used: tuple[str, ...]


def convert(row: Row, place: str, name: str, format: str, columns: Columns) -> Demonstration:
    """The demonstration in a row of this format, called `name` if it has no id; DataError says what the row lacks."""
    content = FORMATS[format].read(row, place, columns)
    answer = column_text(row, columns.answer, place) if row.get(columns.answer) not in (None, "") else content.reference
    used = {*content.used, columns.answer, "id"}
    name = str(row["id"]) if row.get("id") is not None else name
    metadata = plain_columns({key: value for key, value in row.items() if key not in used})
    return Demonstration(place, name, content.problem, content.solution, answer, metadata)


def pick_format(row: Row, place: str, columns: Columns) -> str:
    """The first format whose columns a row has; DataError names the columns and the formats known."""
    for name, format in FORMATS.items():
        if format.needs(columns) <= row.keys():
            return name
    known = "; ".join(f"{name} ({', '.join(sorted(format.needs(columns)))})" for name, format in FORMATS.items())
    raise DataError(
        f"{place}: no known format has only the columns {', '.join(map(str, row))}; known: {known}; "
        f"{_HINT if columns.solution else 'name yours by --problem'}"
    )


def _read_plain(row: Row, place: str, columns: Columns) -> Content:
    problem = column_text(row, columns.problem, place)
    if columns.solution is None:
        return Content(problem, "", None, (columns.problem, "solution"))
    # No reference: its solution is what will be imitated, and would be checked against itself.
    used = (columns.problem, columns.solution, "reasoning_content")
    return Content(problem, response_text(row, columns.solution, place), None, used)


def _read_qwq(row: Row, place: str, columns: Columns) -> Content:
    # The reference comes from the source's own solution. The last box of the model's response would verify whatever
    # the model said.
    reference = last_boxed(str(row.get("solution") or ""))
    used = (columns.problem, "qwq", "solution")
    return Content(column_text(row, columns.problem, place), column_text(row, "qwq", place), reference, used)


def _read_openthoughts(row: Row, place: str, columns: Columns) -> Content:
    return _conversation(row, "conversations", place)


def _read_messages(row: Row, place: str, columns: Columns) -> Content:
    return _conversation(row, "messages", place)


def _conversation(row: Row, column: str, place: str) -> Content:
    """A question and its answer; a system message is the recipe's to give."""
    spoken = [turn for turn in conversation_turns(row, column, place) if turn[0] != "system"]
    roles = [role for role, _ in spoken]
    if roles != ["user", "assistant"]:
        raise DataError(f"{place}: the turns are of {', '.join(roles) or 'nobody'}, expected user, assistant")
    return Content(spoken[0][1], _with_think(spoken[1][1], place), None, (column, "system"))


def _with_think(text: str, place: str) -> str:
    """OpenThoughts' markers as `<think>` tags; text without markers as it is."""
    marked = _MARKED.fullmatch(text)
    if marked and not any(map(_MARKER.search, marked.groups())):
        return f"<think>\n{marked[1].strip()}\n</think>\n\n{marked[2].strip()}"
    if _MARKER.search(text):
        raise DataError(f"{place}: the markers of thought and solution are incomplete")
    return text


@dataclass(frozen=True)
class Format:
    """A shape of rows: the columns that tell it, and what reads it."""

    needs: Callable[[Columns], set[str]]
    read: Callable[[Row, str, Columns], Content]


FORMATS = {
    "qwq": Format(lambda columns: {columns.problem, "qwq"}, _read_qwq),
    "openthoughts": Format(lambda columns: {"conversations"}, _read_openthoughts),
    "messages": Format(lambda columns: {"messages"}, _read_messages),
    "plain": Format(lambda columns: {columns.problem, *([columns.solution] if columns.solution else [])}, _read_plain),
}
"""By name, in the order in which they are tried."""
