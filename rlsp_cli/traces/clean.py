"""`rlsp data clean`: rows without benches' problems, with all their columns."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.data import Row, source_rows
from rlsp_cli.data.formats import Columns, pick_format
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.overlap.against import ComparedBench, benches_against, compared_bench, index_of
from rlsp_cli.evals.overlap.index import CANNOT_FIND, Match, OverlapIndex
from rlsp_cli.evals.overlap.training_set import row_source, training_row
from rlsp_cli.recipe.schema import Rows
from rlsp_cli.runs.stream import write_text
from rlsp_cli.traces.tally import Tally, tally


@dataclass(frozen=True)
class Cleaned:
    """The rows that were left out, and the likely copies that were kept, as (place, reason)."""

    out: Path
    benches: Sequence[ComparedBench]
    before: int
    after: int
    left_out: Sequence[tuple[str, str]]
    likely: Sequence[tuple[str, str]]

    @property
    def tally(self) -> Tally:
        """The rows that were left out, by reason."""
        faults = [(why, place) for place, why in self.left_out]
        return tally("clean", self.before, self.after, faults)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "out": str(self.out),
            "benches": [bench.to_json() for bench in self.benches],
            "before": self.before,
            "after": self.after,
            "left_out": self.left_out,
            "likely": self.likely,
            "cannot_find": CANNOT_FIND,
        }


def clean_rows(
    source: str,
    against: Sequence[str],
    data: Path | None,
    columns: Columns,
    out: Path,
    *,
    drop_likely: bool = False,
) -> Cleaned:
    """Write the rows that are not copies of benches' problems, and that have a problem.

    UsageError if the file exists, DataError if no row is left.
    """
    _refuse_out(out)

    benches = benches_against(against, None, data)
    rows = list(source_rows(Rows(source=row_source(source))))
    format, index = pick_format(rows[0], columns), index_of(benches)
    kept: list[Row] = []
    left_out: list[tuple[str, str]] = []
    likely: list[tuple[str, str]] = []

    for row in rows:
        # A row without a problem cannot be compared, so it may be a copy.
        try:
            match = _match(row, format, columns, index)
        except DataError as error:
            left_out.append((row.place, str(error).removeprefix(f"{row.place}: ")))
            continue

        if match is None:
            kept.append(row)
        elif match.is_copy:
            left_out.append((row.place, f"in {match.bench} ({match.rule})"))
        elif drop_likely:
            left_out.append((row.place, f"like {match.bench} ({match.rule})"))
        else:
            kept.append(row)
            likely.append((row.place, f"like {match.bench} ({match.rule})"))

    compared = [compared_bench(bench) for bench in benches]
    made = Cleaned(out, compared, len(rows), len(kept), left_out, likely)
    # An empty file would only fail later, in training.
    made.tally.refuse_nothing()

    write_text(out, "".join(json.dumps(row.plain(), ensure_ascii=False) + "\n" for row in kept))
    return made


def _refuse_out(out: Path) -> None:
    if out.suffix != ".jsonl":
        raise UsageError(f"{out}: rows are written as JSON Lines; name a file that ends in .jsonl")
    if out.exists():
        raise UsageError(f"{out}: exists already; name another file by --out")


def _match(row: Row, format: str, columns: Columns, index: OverlapIndex) -> Match | None:
    """The bench's problem that a row copies, perhaps; DataError for a row without a problem."""
    compared = training_row(row, format, columns)
    return index.match(compared.problem, compared.answer, likely=True)
