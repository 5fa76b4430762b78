"""Rows without the problems of benches: read, compare, write what is left with all its columns."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data import source_rows
from rlsp_cli.data.formats import Columns, pick_format
from rlsp_cli.data.rows import plain_columns
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.overlap.against import benches_against, compared_bench, index_of
from rlsp_cli.evals.overlap.index import CANNOT_FIND, Match, OverlapIndex
from rlsp_cli.evals.overlap.training_set import row_source, training_row
from rlsp_cli.recipe.schema import Rows
from rlsp_cli.runs.stream import write_text
from rlsp_cli.traces.filters import Count, count_reasons, refuse_nothing


@dataclass
class Cleaned:
    """What became of the rows: `left_out` are places and reasons of those that went, `likely` of some that stay."""

    out: Path
    benches: Sequence[dict[str, Any]]
    before: int
    after: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    likely: list[tuple[str, str]] = field(default_factory=list)

    @property
    def count(self) -> Count:
        """The rows that went, by reason."""
        return count_reasons("clean", self.before, self.after, [(why, place) for place, why in self.left_out])

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "out": str(self.out), "cannot_find": CANNOT_FIND}


def clean_rows(
    source: str, against: Sequence[str], data: Path | None, columns: Columns, out: Path, *, drop_likely: bool = False
) -> Cleaned:
    """Write the rows that repeat no problem of the benches; a row without a problem to compare is left out too.

    UsageError for a file that is there already, DataError when no row is left.
    """
    if out.suffix != ".jsonl":
        raise UsageError(f"{out}: rows are written as JSON Lines; name a file that ends in .jsonl")
    if out.exists():
        raise UsageError(f"{out}: exists already; name another file by --out")
    benches = benches_against(against, None, data)
    rows = source_rows(Rows(source=row_source(source)))
    made = Cleaned(out, [compared_bench(bench).to_json() for bench in benches], len(rows))

    format = pick_format(rows[0][1], rows[0][0], columns)
    index, kept = index_of(benches), []
    for place, row in rows:
        fault, match = _compared(row, place, format, columns, index)
        if fault or (match and (match.is_copy or drop_likely)):
            made.left_out.append((place, fault or _reason(match)))
            continue
        kept.append(row)
        if match:
            made.likely.append((place, _reason(match)))

    made.after = len(kept)
    refuse_nothing(made.count)
    write_text(out, "".join(json.dumps(plain_columns(row), ensure_ascii=False) + "\n" for row in kept))
    return made


def _compared(
    row: dict[str, Any], place: str, format: str, columns: Columns, index: OverlapIndex
) -> tuple[str | None, Match | None]:
    """Why a row cannot be compared, or the problem that it repeats or is like."""
    try:
        compared = training_row(row, place, format, columns)
    except DataError as error:
        return str(error).removeprefix(f"{place}: "), None
    return None, index.match(compared.problem, compared.answer, likely=True)


def _reason(match: Match | None) -> str:
    assert match, "who asks has looked"
    return f"{'in' if match.is_copy else 'like'} {match.bench} ({match.rule})"
