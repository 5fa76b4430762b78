"""Traces step by step: each filter takes demonstrations and returns those it keeps, and counts why the others went."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.data.formats import Columns, Row, convert
from rlsp_cli.errors import DataError
from rlsp_cli.evals.overlap.index import OverlapIndex, same_text
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.thinking import is_open

Tick = Callable[[int, int], None]
_CHUNK = 256
"""Demonstrations verified between two calls of a tick."""


@dataclass(frozen=True)
class Reason:
    """How many rows went for one reason, and the first of them."""

    rows: int
    first: str


@dataclass(frozen=True)
class Count:
    """What one filter did, by reason."""

    name: str
    before: int
    after: int
    reasons: dict[str, Reason]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Filtered(NamedTuple):
    """What a filter kept, in its order, and its count."""

    rows: list[Demonstration]
    tally: Count


Filter = Callable[[Sequence[Demonstration]], Filtered]


def run_filters(rows: Sequence[Demonstration], filters: Iterable[Filter]) -> tuple[list[Demonstration], list[Count]]:
    """All filters in order; DataError when one leaves nothing."""
    kept, counts = list(rows), []
    for filter in filters:
        kept, count = filter(kept)
        refuse_nothing(count)
        counts.append(count)
    return kept, counts


def refuse_nothing(count: Count) -> None:
    """DataError when a filter left no row, with its commonest reason."""
    if not count.after:
        why, reason = max(count.reasons.items(), key=lambda item: item[1].rows)
        raise DataError(
            f"{count.name}: none of {count.before} rows is left; {reason.rows} of them: {why}, first at {reason.first}"
        )


def count_reasons(name: str, before: int, after: int, faults: Iterable[tuple[str, str]]) -> Count:
    """A count from (reason, place) pairs."""
    reasons: dict[str, Reason] = {}
    for fault, place in faults:
        known = reasons.get(fault)
        reasons[fault] = Reason(known.rows + 1, known.first) if known else Reason(1, place)
    return Count(name, before, after, reasons)


def converted(source: Sequence[tuple[str, Row]], name: str, format: str, columns: Columns) -> Filtered:
    """The demonstrations of a source of this name; rows that lack something are counted."""
    kept, faults = [], []
    for number, (place, row) in enumerate(source):
        try:
            kept.append(convert(row, place, f"{name}-{number}", format, columns))
        except DataError as error:
            faults.append((str(error).removeprefix(f"{place}: "), place))
    return Filtered(kept, count_reasons("convert", len(source), len(kept), faults))


def joined(parts: Sequence[Filtered]) -> Filtered:
    """Several sources as one."""
    reasons: dict[str, Reason] = {}
    for part in parts:
        for fault, reason in part.tally.reasons.items():
            known = reasons.get(fault)
            reasons[fault] = Reason(known.rows + reason.rows, known.first) if known else reason
    rows = [row for part in parts for row in part.rows]
    return Filtered(rows, Count("convert", sum(part.tally.before for part in parts), len(rows), reasons))


def closed(rows: Sequence[Demonstration]) -> Filtered:
    """Leaves out solutions whose thinking never ends: they were cut off, and have no answer."""
    return _sifted("thinking", rows, ("thinking not closed" if is_open(row.solution) else None for row in rows))


def by_length(
    rows: Sequence[Demonstration], count: Callable[[str], int], shortest: int, longest: int | None
) -> Filtered:
    """Counts how long the solutions are, and keeps those of `shortest` to `longest`."""

    def fault(row: Demonstration) -> str | None:
        if row.length < shortest:
            return f"shorter than {shortest}"
        return f"longer than {longest}" if longest is not None and row.length > longest else None

    measured = [replace(row, length=count(row.solution)) for row in rows]
    return _sifted("length", measured, map(fault, measured))


def verified(
    rows: Sequence[Demonstration],
    verify: Callable[[Sequence[Sample]], list[Score]],
    tick: Tick = lambda done, total: None,
) -> Filtered:
    """Keeps what the verifier holds for entirely right; a failure to judge is counted apart from a wrong answer."""
    faults: list[str | None] = []
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        scores = iter(verify([_sample(row) for row in chunk if row.answer is not None]))
        faults += [_fault(next(scores)) if row.answer is not None else "no reference answer" for row in chunk]
        tick(min(start + _CHUNK, len(rows)), len(rows))
    return _sifted("verify", rows, faults)


def apart_from(rows: Sequence[Demonstration], index: OverlapIndex) -> Filtered:
    """Leaves out problems of benches."""
    matches = (index.match(row.problem, row.answer) for row in rows)
    return _sifted("decontaminate", rows, (match and f"in {match.bench} ({match.rule})" for match in matches))


def one_per_problem(rows: Sequence[Demonstration]) -> Filtered:
    """Keeps the shortest solution of each problem, the first of equally short ones."""
    best: dict[str, Demonstration] = {}
    for row in rows:
        key = same_text(row.problem)
        if key not in best or row.length < best[key].length:
            best[key] = row
    chosen = {id(row) for row in best.values()}
    fault = "another solution of the problem is not longer"
    return _sifted("one per problem", rows, (None if id(row) in chosen else fault for row in rows))


def _sifted(name: str, rows: Sequence[Demonstration], faults: Iterable[str | None]) -> Filtered:
    """The rows without a fault."""
    judged = list(zip(rows, faults, strict=True))
    kept = [row for row, fault in judged if fault is None]
    dropped = [(fault, row.place) for row, fault in judged if fault is not None]
    return Filtered(kept, count_reasons(name, len(rows), len(kept), dropped))


def _sample(row: Demonstration) -> Sample:
    return Sample(row.problem, row.solution, row.answer, row.id, row.metadata)


def _fault(score: Score) -> str | None:
    if score.value is None:
        return f"not judged: {score.outcome}"
    return None if score.value == 1 else "wrong" if score.value == 0 else "only partly right"
