"""The problems that a model trains on, read from a recipe or from a file of rows."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from rlsp_cli.data import (
    Row,
    Streamed,
    preference_rows,
    prompt_rows,
    source_rows,
    trace_rows,
)
from rlsp_cli.data.formats import Columns, convert, pick_format
from rlsp_cli.data.source import HUB_ID
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.rows import PreferenceRows, Rows, Traces
from rlsp_cli.recipe.schema import Recipe

ROLES = {"traces": "sft", "pairs": "sft", "prompts": "ppo"}
"""Key of `data` -> the stage that trains on it."""
_FILES = (".jsonl", ".json", ".csv", ".parquet")


class HasProblem(Protocol):
    """A trace or a problem for PPO."""

    @property
    def problem(self) -> str:
        """The question."""

    @property
    def answer(self) -> str | None:
        """Its reference answer, where there is one."""


@dataclass(frozen=True)
class TrainingRow:
    """A problem in training data, with its reference answer where there is one."""

    place: str
    problem: str
    answer: str | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Rows of one source; `role` is its key of `data`, or `rows` for a file.

    `unread` gets an error for each row without a problem, as the rows are read: such a row cannot
    be compared, so it is not clean.
    """

    role: str
    source: str
    rows: Collection[TrainingRow]
    unread: Sequence[str] = ()


def from_rows(role: str, source: str, rows: Iterable[HasProblem]) -> TrainingSet:
    """The rows of a recipe, with their numbers as places; they are read when they are compared."""

    def numbered() -> Iterator[TrainingRow]:
        for number, row in enumerate(rows, 1):
            yield TrainingRow(f"row {number}", row.problem, row.answer)

    return TrainingSet(role, source, Streamed(numbered))


def from_recipe(role: str, recipe: Recipe, most_of_task: int | None = None) -> TrainingSet:
    """The rows of `data.<role>`, which must be given.

    DataError or NotReadyError when they cannot be read. Of a procedural task only the first
    `most_of_task` are made, if that is given.
    """
    sources = recipe.data.sources(role).values()
    name = ", ".join(source.source for source in sources)

    # Every row of every source: which of them a mixture leaves out depends on its weights.
    parts = [_problems(_shortened(source, most_of_task), recipe) for source in sources]
    return from_rows(role, name, Streamed(lambda: chain.from_iterable(parts)))


def _problems(source: Rows, recipe: Recipe) -> Collection[HasProblem]:
    if isinstance(source, Traces):
        return trace_rows(source, recipe.plugins)
    read = preference_rows if isinstance(source, PreferenceRows) else prompt_rows
    return read(source, recipe.plugins)


def _shortened(source: Rows, most_of_task: int | None) -> Rows:
    if most_of_task is None or not source.is_task or source.rows is None:
        return source
    return source.model_copy(update={"rows": min(source.rows, most_of_task)})


def roles_of(recipe: Recipe) -> list[str]:
    """The keys of `data` that stages train on, among those that the recipe gives."""
    return [role for role in ROLES if getattr(recipe.data, role)]


def from_source(name: str, columns: Columns) -> TrainingSet:
    """Rows of a file or the hub, in any format that `rlsp data traces` reads."""
    source = row_source(name)
    rows = source_rows(Rows(source=source))

    # One format for all: a row that fits another one is damaged, and not to be guessed at.
    format = pick_format(next(iter(rows)), columns)
    unread: list[str] = []

    def readable() -> Iterator[TrainingRow]:
        unread.clear()  # each pass finds them again
        for row in rows:
            try:
                yield training_row(row, format, columns)
            except DataError as error:
                unread.append(str(error))

    return TrainingSet("rows", source, Streamed(readable), unread)


def training_row(row: Row, format: str, columns: Columns) -> TrainingRow:
    """The problem of a row in this format; DataError says what the row lacks."""
    read = convert(row, row.place, format, columns)
    return TrainingRow(row.place, read.problem, read.answer)


def row_source(name: str) -> str:
    """A source as a recipe names it: `org/name` is on the hub unless there is such a file."""
    is_hub = HUB_ID.fullmatch(name) and not is_file_of_rows(name) and not Path(name).exists()
    return f"hf:{name}" if is_hub else name


def is_file_of_rows(name: str) -> bool:
    """Whether the name ends like a file of rows."""
    return Path(name).suffix in _FILES
