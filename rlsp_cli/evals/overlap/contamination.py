"""Contamination: how much of a bench the model has seen in training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from rlsp_cli.errors import RlspError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import index_of, whole_bench
from rlsp_cli.evals.overlap.overlap import Overlap, count_overlaps, find_overlaps
from rlsp_cli.evals.overlap.training_set import TrainingSet, from_recipe, roles_of
from rlsp_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class Contamination:
    """How much of a bench one training set holds: copies and likely copies, and the first of each.

    `rows` and `problems` are those of the whole set and of the bench. `unknown` says why the set
    could not be read; the other fields mean nothing then.
    """

    rows: int = 0
    problems: int = 0
    rows_found: int = 0
    problems_found: int = 0
    likely_rows: int = 0
    likely_problems: int = 0
    first: str | None = None
    likely_first: str | None = None
    unknown: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; where the set could not be read, the reason alone."""
        if self.unknown is not None:
            return {"unknown": self.unknown}
        return {key: value for key, value in asdict(self).items() if key != "unknown"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Contamination":
        """What `to_json` wrote."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


BenchContamination = Mapping[str, Contamination]
"""Training set, `traces` or `prompts` -> how much of a bench it holds."""


def measure_contamination(
    recipe: Recipe, benches: Sequence[Bench]
) -> dict[str, dict[str, Contamination]]:
    """Bench -> training set -> how much of the bench it holds.

    Where `eval.limit` cuts a bench, rows are compared with the whole, and the problems counted that
    were asked.
    """
    index = index_of(_whole_benches(recipe, benches))
    found: dict[str, dict[str, Contamination]] = {bench.name: {} for bench in benches}
    for role in roles_of(recipe):
        # The evaluation is done by now; data that is gone must not cost its results.
        try:
            training = from_recipe(role, recipe)
            overlaps = list(find_overlaps(training, index))
        except RlspError as error:
            reason = str(error).partition("\n")[0]
            for of_bench in found.values():
                of_bench[role] = Contamination(unknown=reason)
            continue

        for bench in benches:
            found[bench.name][role] = _contamination(training, bench, overlaps)
    return found


def contamination_notes(contamination: Mapping[str, BenchContamination]) -> list[str]:
    """A line for each finding that a reader should know: copies, likely copies, and unread data."""
    notes: list[str] = []
    for bench, sets in contamination.items():
        for role, found in sets.items():
            notes += _notes(bench, role, found)
    return notes


def _notes(bench: str, role: str, found: Contamination) -> Iterator[str]:
    if found.unknown is not None:
        yield f"{bench}: it is unknown whether data.{role} holds its problems: {found.unknown}"
        return

    if found.problems_found:
        # If every copied problem is right by memory alone.
        points = 100 * found.problems_found / found.problems
        yield (
            f"{bench} IS CONTAMINATED: {found.problems_found} of its {found.problems} problems "
            f"are in data.{role} ({found.rows_found} of {found.rows} rows, such as {found.first}), "
            "which the model was trained on; "
            f"up to {points:.1f} points of its accuracy there may be memory"
        )
    if found.likely_problems:
        yield (
            f"{bench}: {found.likely_problems} of its {found.problems} problems are like rows of "
            f"data.{role}, and may be copies in other words "
            f"({found.likely_rows} rows, such as {found.likely_first})"
        )


def _whole_benches(recipe: Recipe, benches: Sequence[Bench]) -> Sequence[Bench]:
    if recipe.eval is None or recipe.eval.limit is None:
        return benches
    return [whole_bench(name, recipe) for name in recipe.eval.benches]


def _contamination(
    training: TrainingSet, bench: Bench, overlaps: Sequence[Overlap]
) -> Contamination:
    asked = {problem.id for problem in bench.problems}
    ours = [
        overlap for overlap in overlaps if overlap.bench == bench.name and overlap.problem in asked
    ]
    copies = [str(overlap) for overlap in ours if overlap.is_copy]
    likely = [str(overlap) for overlap in ours if not overlap.is_copy]

    counts = count_overlaps(ours, bench.name)
    return Contamination(
        rows=len(training.rows),
        problems=len(asked),
        rows_found=counts.rows_found,
        problems_found=counts.problems_found,
        likely_rows=counts.likely_rows,
        likely_problems=counts.likely_problems,
        first=next(iter(copies), None),
        likely_first=next(iter(likely), None),
    )
