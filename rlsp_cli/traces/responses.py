"""Responses with their verdicts, from a run or from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlsp_cli.data import PARENT, Problem, Row, jsonl_rows, recipe_problems
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.traces.card import Source
from rlsp_cli.traces.output import identity_of
from rlsp_cli.traces.pairing import Verdict
from rlsp_cli.traces.tally import Filtered, tally
from rlsp_cli.traces.verdict import verdict_of

IN_SOURCES = {"use": "the verdicts in the sources"}
"""What a card says of verdicts that no verifier has given anew."""

Problems = Mapping[str, Problem]


class Responses(NamedTuple):
    """The responses of a file, as solutions, and their verdicts in their order; None if unknown."""

    file: Path
    filtered: Filtered
    verdicts: Sequence[float | None]

    @property
    def source(self) -> Source:
        """What a card says of the file."""
        name = str(self.file)
        return Source(name, "responses", self.filtered.tally.before, identity_of(name))


def verdicts_in(sources: Sequence[Responses]) -> Verdict:
    """The verdicts that the files have."""
    found = {
        row.place: value
        for source in sources
        for row, value in zip(source.filtered.rows, source.verdicts, strict=True)
    }
    return lambda row: found[row.place]


def read_responses(source: Path) -> Responses:
    """The responses of a file, or of a run's rollouts; those that were cut off are left out.

    They have the other columns of their problem, as far as the file has these.

    DataError if there is no such file, or it has no rows.
    """
    file = RunPaths(source).stage("ppo").rollouts if source.is_dir() else source
    if not file.is_file():
        raise DataError(f"{file}: no such file; name rollouts.jsonl, or an evaluation's samples")

    problems = _problems(file)
    kept, verdicts, faults = [], [], []
    for number, row in enumerate(jsonl_rows(file)):
        try:
            kept.append(_response(row, f"{file.stem}-{number}", problems))
            verdicts.append(verdict_of(row.columns))
        except DataError as error:
            faults.append((str(error).removeprefix(f"{row.place}: "), row.place))
    if not kept and not faults:
        raise DataError(f"{file}: no rows in this file")

    read = tally("read", len(kept) + len(faults), len(kept), faults)
    return Responses(file, Filtered(kept, read), verdicts)


def _response(row: Row, name: str, problems: Problems) -> RawTrace:
    if row.columns.get("truncated"):
        raise DataError("response cut off")
    if row.columns.get("turns"):
        raise DataError("a response in turns: what others said would be learned too")

    problem = _problem(row, problems)
    reference = next((key for key in ("reference", "answer") if row.columns.get(key)), None)
    return RawTrace(
        row.place,
        id=name,
        problem=problem,
        solution=row.text("response"),
        answer=row.text(reference) if reference else None,
        metadata=_columns(row),
    )


def _columns(row: Row) -> Mapping[str, Any]:
    """The problem's other columns, and its id as the parent of what is made of the response."""
    columns = row.columns.get("metadata")
    parent = {PARENT: str(row.columns["id"])} if row.columns.get("id") is not None else {}
    return {**parent, **(columns if isinstance(columns, Mapping) else {})}


def _problem(row: Row, problems: Problems) -> str:
    """The problem as a recipe has it: rollouts name it by its id, and show the whole prompt."""
    if row.columns.get("problem"):
        return row.text("problem")

    found = problems.get(str(row.columns.get("id")))
    if found is None:
        raise DataError("no key 'problem', and no recipe beside the file that has its id")
    if found.problem not in str(row.columns.get("prompt", "")):
        raise DataError("the run's recipe has another problem of its id")
    return found.problem


def _problems(file: Path) -> Problems:
    """The problems that a run's rollouts are of, by their ids; none elsewhere."""
    resolved = RunPaths(file.absolute().parents[1]).resolved
    if file.parent.name != "ppo" or not resolved.is_file():
        return {}

    recipe = load_recipe(resolved, plugins=resolve_options)
    return {problem.id: problem for problem in recipe_problems(recipe)}
