"""Find the data of a bench, and read its problems."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.data import Problem, Row, RowFunction, problems_of, source_rows
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.evals.benches.bench import content_digest
from rlsp_cli.evals.benches.bench_file import BenchFile
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.rows import Prompts

_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
"""Of a bench's file in a data folder, in the order in which they are tried."""
_SPELLINGS = {
    "problem": ("problem", "question", "prompt"),
    "answer": ("answer", "final_answer", "target"),
    "id": ("id", "unique_id", "task_id", "question_id", "key"),
}
"""Usual names of columns in files that are passed around, in upper or lower case."""


def given_data(file: BenchFile, settings: Eval) -> Prompts | None:
    """The bench's data in `eval.data`, a file or a folder, or in RLSP_DATA_DIR; else None.

    NotReadyError if the folder `eval.data` lacks it, unless a task makes the problems.
    """
    if settings.data is not None and Path(settings.data).is_file():
        return Prompts(source=settings.data, **file.columns.model_dump())

    # The environment's folder is for all runs of a machine, and need not have every bench. One that
    # is named for this run must: to fall back on the hub would evaluate other data than was meant.
    must_have = not file.source.startswith("task:")
    for folder, needed in ((settings.data, must_have), (os.environ.get("RLSP_DATA_DIR"), False)):
        if folder is None:
            continue

        for ending in _ENDINGS:
            path = Path(folder) / f"{file.name}{ending}"
            if path.is_file():
                return Prompts(source=str(path), **file.columns.model_dump())

        if needed:
            missing = Path(folder) / f"{file.name}.jsonl"
            raise NotReadyError(
                f"bench {file.name}: {missing} does not exist; name the file itself by --data FILE"
            )
    return None


def read_problems(name: str, prompts: Prompts, files: Sequence[str]) -> list[Problem]:
    """The problems of a source whose columns are known; `files` are the recipe's plugin files."""
    return _problems(_rows(name, prompts, files), prompts)


def read_bench(file: BenchFile, given: Prompts | None, files: Sequence[str]) -> list[Problem]:
    """The problems of a bench's own source or, if there is some, of data that were given."""
    prompts = given or file.prompts
    rows = _rows(file.name, prompts, files)
    if file.row is not None:
        rows = list(_adapted(rows, RowFunction.of(file.row, prompts.id)))

    # The bench's own source has the columns that its file says; a user's export may not.
    if given is not None:
        prompts = _by_usual_columns(prompts, rows[0].columns)
    return _problems(rows, prompts)


def is_changed(
    file: BenchFile, problems: Sequence[Problem], source: str, *, is_given: bool
) -> bool | None:
    """Whether these are other problems than the file says, None if it does not say.

    DataError if they are, and come from the bench's own source: results would not be comparable
    with published ones.
    """
    # A file that is passed around may be another export, with a digest of its own.
    known = {file.sha256, file.file_sha256 if is_given else None} - {None}
    digest = content_digest(problems)
    if known:
        changed: bool | None = digest not in known
    else:
        # Their number can prove that problems changed, but not that they did not.
        changed = True if len(problems) != file.problems else None

    if changed and not is_given:
        found, expected = f"{len(problems)} problems", f"{file.problems}"
        if file.sha256:
            found += f" with SHA-256 {digest}"
            expected += f" with {file.sha256}"
        raise DataError(
            f"bench {file.name}: {source} is not what the bench's file says: "
            f"{found}, expected {expected}; results would not be comparable"
        )
    return changed


def _rows(name: str, prompts: Prompts, files: Sequence[str]) -> Sequence[Row]:
    try:
        return list(source_rows(prompts, files))
    except NotReadyError as error:
        raise NotReadyError(
            f"bench {name}: {error} (--data FILE, or a folder with {name}.jsonl in RLSP_DATA_DIR)"
        ) from error


def _adapted(rows: Iterable[Row], function: RowFunction) -> Iterator[Row]:
    """Rows as `problem` and `answer`; those that have both already are left as they are."""
    for number, row in enumerate(rows):
        if {"problem", "answer"} <= row.columns.keys():
            yield row
        else:
            yield from function.rows_of(row, number)


def _by_usual_columns(prompts: Prompts, row: Mapping[str, Any]) -> Prompts:
    """The same source, with a usual spelling instead of a column that the row does not have."""
    lower = {str(column).lower(): column for column in row}

    renamed = {}
    for role, spellings in _SPELLINGS.items():
        if getattr(prompts, role) in row:
            continue
        for spelling in spellings:
            if spelling in lower:
                renamed[role] = lower[spelling]
                break

    return prompts.model_copy(update=renamed)


def _problems(rows: Sequence[Row], prompts: Prompts) -> list[Problem]:
    """The problems of these rows; DataError if two share an id."""
    problems = problems_of(rows, prompts)

    # Responses are kept by id, so the two would count as one.
    counts = Counter(problem.id for problem in problems)
    shared = [id for id, n in counts.items() if n > 1]
    if shared:
        raise DataError(
            f"{prompts.source}: {counts[shared[0]]} problems have the id {shared[0]!r} "
            f"(column {prompts.id!r}), and {len(shared) - 1} more ids are shared; ids must differ"
        )

    return problems
