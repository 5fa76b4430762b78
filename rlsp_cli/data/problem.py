"""Problems with reference answers, as PPO and benches read them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.data.kept import kept
from rlsp_cli.data.row import Row
from rlsp_cli.data.source import source_rows
from rlsp_cli.errors import DataError
from rlsp_cli.outside import valid_text
from rlsp_cli.recipe.data import PromptSource
from rlsp_cli.recipe.rows import Prompts

PARENT = "parent"
"""The column of a problem's parent, in rows that rlsp has written."""


@dataclass(frozen=True)
class Problem:
    """A problem with its reference answer, if there is one; `metadata` holds the other columns.

    `parent` is the id of the row that a row function made several problems of, now or before the
    rows were written (column `parent`), else empty; `source` is the number of its source in a mixture.
    `start` is the beginning of the response, from which the policy goes on; empty for none.
    """

    id: str
    problem: str
    answer: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    source: int = 0
    start: str = ""


@kept
def prompt_rows(prompts: Prompts, files: Sequence[str] = ()) -> Iterator[Problem]:
    """The problems of a source; `files` are the recipe's plugin files, for procedural tasks.

    DataError names a row that lacks something, and its columns; it also refuses a column of starts
    that no row has.
    """
    column = _column_of_starts(prompts)
    is_there = column is None
    for number, row in enumerate(source_rows(prompts, files)):
        is_there = is_there or column in row.columns
        yield _problem(number, row, prompts)

    if not is_there:
        raise DataError(
            f"{prompts.source}: no row has the column {column!r} of starts; name another one in "
            "data.prompts.start, or leave it out"
        )


def problems_of(rows: Iterable[Row], prompts: Prompts) -> list[Problem]:
    """The problems in rows, by the columns that `prompts` names; DataError as `prompt_rows`."""
    return [_problem(number, row, prompts) for number, row in enumerate(rows)]


def _problem(number: int, row: Row, prompts: Prompts) -> Problem:
    # All other columns go along: verifiers and tasks may need them.
    return Problem(
        id=str(row.columns.get(prompts.id, number)),
        problem=row.text(prompts.problem),
        answer=row.text(prompts.answer) if prompts.has_references else None,
        metadata=row.plain(without={prompts.problem, prompts.answer, prompts.id}),
        parent=row.parent or _written_parent(row),
        start=start_in(row.columns, _column_of_starts(prompts), row.place),
    )


def _column_of_starts(prompts: Prompts) -> str | None:
    # Held-out problems have none.
    return prompts.start if isinstance(prompts, PromptSource) else None


def start_in(columns: Mapping[str, Any], column: str | None, place: str) -> str:
    """The beginning of a response in a column, blanks included; empty where a row has none.

    DataError for what is no text.
    """
    if column is None:
        return ""
    start = columns.get(column)
    if start is None:
        return ""
    if not isinstance(start, str):
        kind = type(start).__name__
        raise DataError(f"{place}: column {column!r} holds {kind}, expected text, or null for none")
    return valid_text(start)


def _written_parent(row: Row) -> str:
    parent = row.columns.get(PARENT)
    return str(parent) if isinstance(parent, str | int) else ""
