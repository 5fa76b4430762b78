"""Formats of rows, read as traces. To add one, write a reader and list it in FORMATS."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.data.conversation import turns_of
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.data.row import Row
from rlsp_cli.errors import DataError
from rlsp_cli.rewards.answers import last_boxed

_MARKED = re.compile(
    r"\s*<\|begin_of_thought\|>(.*)<\|end_of_thought\|>"
    r"\s*<\|begin_of_solution\|>(.*)<\|end_of_solution\|>\s*",
    re.DOTALL,
)
"""A whole response of OpenThoughts: its thought and its solution."""
_MARKER = re.compile(r"<\|(?:begin|end)_of_(?:thought|solution)\|>")
_HINT = (
    "name yours by problem=COLUMN and solution=COLUMN; "
    "to clean rows without a solution use rlsp data clean"
)


@dataclass(frozen=True)
class Columns:
    """Names of a source's columns; `solution` is None where rows need no solution."""

    problem: str = "problem"
    solution: str | None = "solution"
    answer: str = "answer"


class Content(NamedTuple):
    """What a reader takes out of a row; the columns in `used` are not carried over."""

    problem: str
    solution: str
    reference: str | None
    used: tuple[str, ...]


@dataclass(frozen=True)
class Format:
    """A format of rows: the columns that identify it, and its reader."""

    needs: Callable[[Columns], set[str]]
    read: Callable[[Row, Columns], Content]


def convert(row: Row, name: str, format: str, columns: Columns) -> RawTrace:
    """The trace in a row of this format, with the id `name` if it has none.

    DataError says what the row lacks.
    """
    content = FORMATS[format].read(row, columns)
    id = row.columns.get("id")
    has_answer = row.columns.get(columns.answer) not in (None, "")

    return RawTrace(
        row.place,
        id=name if id is None else str(id),
        problem=content.problem,
        solution=content.solution,
        answer=row.text(columns.answer) if has_answer else content.reference,
        metadata=row.plain(without={*content.used, columns.answer, "id"}),
    )


def pick_format(row: Row, columns: Columns) -> str:
    """The first format whose columns a row has; DataError names its columns and all formats."""
    # The more particular formats come first: rows of `qwq` have a problem and a solution too.
    for name, format in FORMATS.items():
        if format.needs(columns) <= row.columns.keys():
            return name

    known = []
    for name, format in FORMATS.items():
        known.append(f"{name} ({', '.join(sorted(format.needs(columns)))})")
    hint = _HINT if columns.solution else "name yours by problem=COLUMN"
    raise DataError(
        f"{row.place}: no known format has only the columns {row.names}; "
        f"known: {'; '.join(known)}; {hint}"
    )


def _read_plain(row: Row, columns: Columns) -> Content:
    problem = row.text(columns.problem)
    if columns.solution is None:
        return Content(problem, "", None, (columns.problem, "solution"))

    # No reference: its solution is what will be imitated, and would be checked against itself.
    used = (columns.problem, columns.solution, "reasoning_content")
    return Content(problem, row.response(columns.solution), None, used)


def _read_qwq(row: Row, columns: Columns) -> Content:
    # The reference comes from the source's own solution. The last box of the model's response would
    # verify whatever the model said.
    reference = last_boxed(str(row.columns.get("solution") or ""))
    used = (columns.problem, "qwq", "solution")
    return Content(row.text(columns.problem), row.text("qwq"), reference, used)


def _read_openthoughts(row: Row, columns: Columns) -> Content:
    return _conversation(row, "conversations")


def _read_messages(row: Row, columns: Columns) -> Content:
    return _conversation(row, "messages")


def _conversation(row: Row, column: str) -> Content:
    """A question and its answer; system messages are dropped, since the recipe has its own."""
    turns = [turn for turn in turns_of(row, column) if turn.role != "system"]
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"]:
        found = ", ".join(roles) or "none"
        raise DataError(f"{row.place}: expected the turns user, assistant; found {found}")

    question, answer = turns
    text = _with_think_tags(answer.content, row.place)
    return Content(question.content, text, None, (column, "system"))


def _with_think_tags(text: str, place: str) -> str:
    """OpenThoughts' markers as `<think>` tags; text without markers is unchanged."""
    marked = _MARKED.fullmatch(text)
    if marked and not any(map(_MARKER.search, marked.groups())):
        return f"<think>\n{marked[1].strip()}\n</think>\n\n{marked[2].strip()}"

    # A response that was cut off, or two in one: taken as it is, it would teach the markers.
    if _MARKER.search(text):
        raise DataError(f"{place}: the markers of thought and solution are incomplete")
    return text


def _plain_columns(columns: Columns) -> set[str]:
    names = {columns.problem}
    if columns.solution is not None:
        names.add(columns.solution)
    return names


FORMATS = {
    "qwq": Format(lambda columns: {columns.problem, "qwq"}, _read_qwq),
    "openthoughts": Format(lambda columns: {"conversations"}, _read_openthoughts),
    "messages": Format(lambda columns: {"messages"}, _read_messages),
    "plain": Format(_plain_columns, _read_plain),
}
"""By name, in the order in which they are tried."""
