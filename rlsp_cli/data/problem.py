"""Problems with reference answers, as PPO and benches read them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.data.kept import kept
from rlsp_cli.data.row import Row
from rlsp_cli.data.source import source_rows
from rlsp_cli.recipe.rows import Prompts

PARENT = "parent"
"""The column of a problem's parent, in rows that rlsp has written."""


@dataclass(frozen=True)
class Problem:
    """A problem with its reference answer, if there is one; `metadata` holds the other columns.

    `parent` is the id of the row that a row function made several problems of, now or before the
    rows were written (column `parent`), else empty; `source` is the number of its source in a mixture.
    """

    id: str
    problem: str
    answer: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    source: int = 0


@kept
def prompt_rows(prompts: Prompts, files: Sequence[str] = ()) -> Iterator[Problem]:
    """The problems of a source; `files` are the recipe's plugin files, for procedural tasks.

    DataError names a row that lacks something, and its columns.
    """
    for number, row in enumerate(source_rows(prompts, files)):
        yield _problem(number, row, prompts)


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
    )


def _written_parent(row: Row) -> str:
    parent = row.columns.get(PARENT)
    return str(parent) if isinstance(parent, str | int) else ""
