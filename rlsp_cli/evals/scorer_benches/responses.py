"""The labelled responses of a bench for scorers, as its rows have them."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlsp_cli.data import Row, source_rows
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.evals.scorer_benches.bench_file import ScorerBenchFile
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.rewards.sample import Sample


class Labelled(NamedTuple):
    """A response of the problem `id`; `steps` are None where a rule splits it.

    `first_error` is the index of the first wrong step, -1 where none is, None if not known.
    """

    id: str
    subset: str
    sample: Sample
    steps: tuple[str, ...] | None
    first_error: int | None
    right: bool


def read_labelled(file: ScorerBenchFile, data: Path | None = None) -> list[Labelled]:
    """All responses of a bench.

    `data` is a file, or a folder with `NAME.jsonl`; then RLSP_DATA_DIR, then the bench's source.
    DataError names a row that lacks what the measure reads.
    """
    found: list[Labelled] = []
    for subset, rows in _subsets(file, data).items():
        for number, row in enumerate(rows):
            found += _responses(file, subset, number, row)
    return found


def where_labelled(file: ScorerBenchFile, data: Path | None = None) -> str:
    """The source of a bench's rows, a file or the hub; `none: ` and what is missing, if there is none."""
    try:
        return str(_given(file, data) or file.source)
    except NotReadyError as error:
        return f"none: {error}"


def digest_of(responses: Sequence[Labelled]) -> str:
    """SHA-256 of responses with their problems and labels."""
    digest = hashlib.sha256()
    for one in responses:
        labels = (one.id, one.subset, one.steps, one.first_error, one.right)
        row = (one.sample.prompt, one.sample.response, *labels)
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _subsets(file: ScorerBenchFile, data: Path | None) -> dict[str, list[Row]]:
    given = _given(file, data)
    if given is None and not file.source.startswith("hf:"):
        given = Path(file.source)
    if given is None:
        pin = f"@{file.revision}" if file.revision else ""
        source = {"source": f"{file.source}{pin}", "config": file.config}
        return {
            split: _rows(file, Prompts.model_validate({**source, "split": split}))
            for split in file.subsets
        }

    subsets: dict[str, list[Row]] = {}
    for row in _rows(file, Prompts(source=str(given))):
        subsets.setdefault(_subset(file, row.columns), []).append(row)
    return subsets


def _given(file: ScorerBenchFile, data: Path | None) -> Path | None:
    if data is not None and data.is_file():
        return data
    for folder, needed in ((data, True), (os.environ.get("RLSP_DATA_DIR"), False)):
        if folder is None:
            continue
        path = Path(folder) / f"{file.name}.jsonl"
        if path.is_file():
            return path
        if needed:
            words = f"bench {file.name}: {path} does not exist"
            raise NotReadyError(f"{words}; name the file itself by --data FILE")
    return None


def _rows(file: ScorerBenchFile, prompts: Prompts) -> list[Row]:
    try:
        return list(source_rows(prompts))
    except NotReadyError as error:
        raise NotReadyError(f"bench {file.name}: {error} (--data FILE)") from error


def _subset(file: ScorerBenchFile, row: Mapping[str, Any]) -> str:
    """Of a file with all subsets: its column, or what its id begins with, as in `gsm8k-12`."""
    named = str(row.get("subset") or str(row.get("id", "")).rpartition("-")[0])
    return named if named in file.subsets else file.name


def _responses(file: ScorerBenchFile, subset: str, number: int, row: Row) -> Iterator[Labelled]:
    columns, get = file.columns, _Getter(file, row)
    id, problem = str(row.columns.get("id", number)), str(get(columns.problem))
    key = f"{subset}/{id}"

    if file.measure == "first_error":
        steps = get.texts(columns.steps)
        label = get.index(columns.label, len(steps))
        right = label < 0 if columns.right is None else bool(get(columns.right))
        yield _labelled(key, subset, problem, steps, label, right)
        return

    for column, right in ((columns.chosen, True), (columns.rejected, False)):
        for text in get.responses(column):
            yield _labelled(key, subset, problem, text, None, right)


def _labelled(
    id: str,
    subset: str,
    problem: str,
    response: str | tuple[str, ...],
    label: int | None,
    right: bool,
) -> Labelled:
    # Steps that are given stand as paragraphs: a scorer that reads the response sees them apart.
    steps = None if isinstance(response, str) else response
    text = response if isinstance(response, str) else "\n\n".join(response)
    return Labelled(id, subset, Sample(problem, text, id=id), steps, label, right)


class _Getter:
    """Reads columns of a row; DataError says where one is missing, or of another type."""

    def __init__(self, file: ScorerBenchFile, row: Row) -> None:
        self.file, self.row = file, row

    def __call__(self, column: str) -> Any:
        if self.row.columns.get(column) is None:
            keys = ", ".join(self.row.columns)
            place = f"bench {self.file.name}: {self.row.place}"
            raise DataError(f"{place}: no column {column!r}; its columns: {keys}")
        return self.row.columns[column]

    def texts(self, column: str) -> tuple[str, ...]:
        value = self(column)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._error(column, value, "a list of texts")
        return tuple(value)

    def index(self, column: str, count: int) -> int:
        value = self(column)
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < count:
            raise self._error(column, value, f"-1, or the index of one of {count} steps")
        return value

    def responses(self, column: str) -> list[str | tuple[str, ...]]:
        """One text or several; each may be a list of steps."""
        value = self(column)
        several = value if isinstance(value, list) else [value]
        if not several:
            raise self._error(column, value, "at least one response")
        return [tuple(map(str, one)) if isinstance(one, list) else str(one) for one in several]

    def _error(self, column: str, value: Any, expected: str) -> DataError:
        place = f"bench {self.file.name}: {self.row.place}"
        return DataError(f"{place}: {column} holds {value!r:.40}, expected {expected}")
