"""An overlap: one training row that is a copy, or a likely copy, of one problem of a bench."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.evals.overlap.index import (
    EXACT,
    OTHER_ANSWER,
    OTHER_NUMBERS,
    OVERLAP,
    SIMILAR,
    Match,
    OverlapIndex,
)
from rlsp_cli.evals.overlap.training_set import TrainingSet

_KEPT = 200
"""Characters of a text that a report keeps."""
_IN_A_LINE = 80
"""Characters of a text in a message."""
_HOW = {
    EXACT: "which is the text of",
    OVERLAP: "which has the wording and the numbers of",
    OTHER_NUMBERS: "which has the wording, with other numbers or in another order, of",
    OTHER_ANSWER: "which has the wording and the numbers, with another answer, of",
    SIMILAR: "which shares most of the rarer words of",
}


@dataclass(frozen=True)
class Overlap:
    """A row and the problem that it shares text with.

    `start` and `end` are places in the row's problem, counted in characters.
    """

    role: str
    place: str
    bench: str
    problem: str
    rule: str
    start: int
    end: int
    text: str
    problem_text: str

    @property
    def is_copy(self) -> bool:
        """Whether the row is a copy, and not only a likely one."""
        return Match(self.bench, self.problem, self.rule).is_copy

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        theirs = "" if self.rule == EXACT else f', "{_shortened(self.problem_text, _IN_A_LINE)}"'
        ours = _shortened(self.text, _IN_A_LINE)
        return f'{self.place}, "{ours}", {_HOW[self.rule]} problem {self.problem}{theirs}'


@dataclass(frozen=True)
class OverlapCounts:
    """How many rows are copies of how many problems of a bench, and likely copies of others."""

    rows_found: int
    problems_found: int
    likely_rows: int
    likely_problems: int

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)


def find_overlaps(
    training: TrainingSet, index: OverlapIndex, *, likely: bool = True
) -> Iterator[Overlap]:
    """The rows that are copies of a bench's problem, in order; with `likely`, likely ones too."""
    for row in training.rows:
        for match in index.matches(row.problem, row.answer, likely=likely):
            start, end = index.span(row.problem, match)
            yield Overlap(
                role=training.role,
                place=row.place,
                bench=match.bench,
                problem=match.id,
                rule=match.rule,
                start=start,
                end=end,
                text=_shortened(row.problem[start:end], _KEPT),
                problem_text=_shortened(index.text(match), _KEPT),
            )


def count_overlaps(overlaps: Iterable[Overlap], bench: str) -> OverlapCounts:
    """The counts of one bench."""
    ours = [overlap for overlap in overlaps if overlap.bench == bench]
    copied = [overlap.problem for overlap in ours if overlap.is_copy]
    likely = [overlap.problem for overlap in ours if not overlap.is_copy]

    # A problem that is copied for sure is not counted as a likely one too.
    return OverlapCounts(
        rows_found=len(copied),
        problems_found=len(set(copied)),
        likely_rows=len(likely),
        likely_problems=len(set(likely) - set(copied)),
    )


def _shortened(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]} ..."
