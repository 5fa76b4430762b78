"""`rlsp data clean`: rows without benches' problems, with all their columns."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data import Row, source_rows
from rlsp_cli.data.formats import Columns, pick_format
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.overlap.against import ComparedBench, benches_against, compared_bench, index_of
from rlsp_cli.evals.overlap.index import CANNOT_FIND, OverlapIndex
from rlsp_cli.evals.overlap.training_set import row_source, training_row
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.runs.stream import write_lines
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
    rows = source_rows(Rows(source=row_source(source)))
    format = pick_format(next(iter(rows)), columns)
    sieve = _Sieve(format, columns, index_of(benches), drop_likely)

    def cleaned() -> Cleaned:
        compared = [compared_bench(bench) for bench in benches]
        return Cleaned(out, compared, sieve.before, sieve.after, sieve.left_out, sieve.likely)

    def lines() -> Iterator[str]:
        for row in rows:
            if sieve.keeps(row):
                yield json.dumps(row.plain(), ensure_ascii=False) + "\n"

        # An empty file would only fail later, in training.
        cleaned().tally.refuse_nothing()

    write_lines(out, lines())
    return cleaned()


@dataclass
class _Sieve:
    """Compares rows with benches, one by one, and notes what became of them."""

    format: str
    columns: Columns
    index: OverlapIndex
    drop_likely: bool
    before: int = 0
    after: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    likely: list[tuple[str, str]] = field(default_factory=list)

    def keeps(self, row: Row) -> bool:
        """Whether a row is no copy, and has a problem."""
        self.before += 1
        fault = self._fault(row)
        if fault is not None:
            self.left_out.append((row.place, fault))
            return False

        self.after += 1
        return True

    def _fault(self, row: Row) -> str | None:
        # A row without a problem cannot be compared, so it may be a copy.
        try:
            compared = training_row(row, self.format, self.columns)
        except DataError as error:
            return str(error).removeprefix(f"{row.place}: ")

        match = self.index.match(compared.problem, compared.answer, likely=True)
        if match is None:
            return None
        if match.is_copy:
            return f"in {match.bench} ({match.rule})"

        found = f"like {match.bench} ({match.rule})"
        if self.drop_likely:
            return found
        self.likely.append((row.place, found))
        return None


def _refuse_out(out: Path) -> None:
    if out.suffix != ".jsonl":
        raise UsageError(f"{out}: rows are written as JSON Lines; name a file that ends in .jsonl")
    if out.exists():
        raise UsageError(f"{out}: exists already; name another file by --out")
