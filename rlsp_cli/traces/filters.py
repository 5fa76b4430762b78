"""The filters of `rlsp data traces`: each keeps some traces, with reasons for the others."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from rlsp_cli.data import Row
from rlsp_cli.data.formats import Columns, convert
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import DataError
from rlsp_cli.evals.overlap.index import OverlapIndex, same_text
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.rewards.thinking import is_open
from rlsp_cli.traces.tally import Filtered, Tally, tally

Filter = Callable[[Sequence[RawTrace]], Filtered]
Tick = Callable[[int, int], None]
"""Shows progress: called with how many are done, and of how many."""

_CHUNK = 256
"""Traces verified between two calls of a tick."""


def run_filters(
    rows: Sequence[RawTrace], filters: Iterable[Filter]
) -> tuple[list[RawTrace], list[Tally]]:
    """Apply all filters in order; DataError if one leaves nothing."""
    kept, tallies = list(rows), []
    for filter in filters:
        kept, tally = filter(kept)
        tally.refuse_nothing()
        tallies.append(tally)
    return kept, tallies


def converted(source: Iterable[Row], name: str, format: str, columns: Columns) -> Filtered:
    """The traces in a source's rows, with ids after `name`; leaves out rows that lack something."""
    kept, faults = [], []
    for number, row in enumerate(source):
        try:
            kept.append(convert(row, f"{name}-{number}", format, columns))
        except DataError as error:
            # Without its place, so that all rows with this fault are counted together.
            faults.append((str(error).removeprefix(f"{row.place}: "), row.place))
    return Filtered(kept, tally("convert", len(kept) + len(faults), len(kept), faults))


def count_words(text: str) -> int:
    """Words of a solution, where no tokenizer is known."""
    return len(text.split())


def closed(rows: Sequence[RawTrace]) -> Filtered:
    """Leave out solutions whose thinking never ends: they were cut off, and have no answer."""
    faults = ["thinking not closed" if is_open(row.solution) else None for row in rows]
    return without_faults("thinking", rows, faults)


def by_length(
    rows: Sequence[RawTrace], count: Callable[[str], int], shortest: int, longest: int | None
) -> Filtered:
    """Count how long the solutions are, and keep those of `shortest` to `longest`."""

    def fault(length: int) -> str | None:
        if length < shortest:
            return f"shorter than {shortest}"
        if longest is not None and length > longest:
            return f"longer than {longest}"
        return None

    # The lengths go into the card, also where nothing is left out for them.
    measured = [replace(row, length=count(row.solution)) for row in rows]
    return without_faults("length", measured, [fault(row.length) for row in measured])


def verified(
    rows: Sequence[RawTrace],
    verify: Callable[[Sequence[Sample]], list[Score]],
    tick: Tick = lambda done, total: None,
) -> Filtered:
    """Keep the rows that the verifier scores 1.0, and count failures apart from wrong answers.

    DataError if no row has a reference answer.
    """
    faults = [_fault(score) for score in verdicts(rows, verify, tick)]
    return without_faults("verify", rows, faults)


def selected(
    rows: Sequence[RawTrace],
    selector: Selector,
    verify: Callable[[Sequence[Sample]], list[Score]] | None,
    keep_wrong: bool,
    tick: Tick = lambda done, total: None,
) -> Filtered:
    """Keep what the selector keeps of each problem's solutions, and of that the right ones.

    `verify` gives the verdicts that it sees; without it there are none, and nothing counts as
    wrong. DataError if no row has a reference answer to verify, PluginError if the selector fails.
    """
    scores = list(verdicts(rows, verify, tick)) if verify else [None] * len(rows)

    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(same_text(row.problem), []).append(number)
    samples = [
        [_judged(rows[number], scores[number]) for number in numbers] for numbers in groups.values()
    ]

    faults: list[str | None] = [None] * len(rows)
    for numbers, choice in zip(groups.values(), selector.choose(samples), strict=True):
        for number, keeps in zip(numbers, choice.kept, strict=True):
            if not keeps:
                faults[number] = f"{selector.use.name} drops it"
            elif verify and not keep_wrong:
                faults[number] = _fault(scores[number])
    return without_faults("select", rows, faults)


def apart_from(rows: Sequence[RawTrace], index: OverlapIndex) -> Filtered:
    """Leave out copies of the benches' problems."""
    faults = []
    for row in rows:
        match = index.match(row.problem, row.answer)
        faults.append(f"in {match.bench} ({match.rule})" if match else None)
    return without_faults("decontaminate", rows, faults)


def above(
    rows: Sequence[RawTrace], reward: Callable[[RawTrace], float | None], least: float
) -> Filtered:
    """Keep solutions with a reward of at least `least`."""

    def fault(found: float | None) -> str | None:
        if found is None:
            return "no reward"
        return None if found >= least else f"reward below {least:g}"

    return without_faults("threshold", rows, [fault(reward(row)) for row in rows])


def unknown(rows: Sequence[RawTrace], known: Collection[tuple[str, str]]) -> Filtered:
    """Keep the first of equal solutions of a problem, if it is not known.

    `known` has problems as `same_text` writes them, each with what is learned of it.
    """
    seen, faults = set(known), []
    for row in rows:
        key = same_text(row.problem), row.learned
        faults.append("has been there before" if key in seen else None)
        seen.add(key)
    return without_faults("new", rows, faults)


def one_per_problem(rows: Sequence[RawTrace]) -> Filtered:
    """Keep the shortest solution of each problem, the first of equally short ones."""
    best: dict[str, RawTrace] = {}
    for row in rows:
        key = same_text(row.problem)
        if key not in best or row.length < best[key].length:
            best[key] = row

    # By identity: two rows may be equal, and only one of them is kept.
    chosen = {id(row) for row in best.values()}
    fault = "another solution of the problem is not longer"
    faults = [None if id(row) in chosen else fault for row in rows]
    return without_faults("one per problem", rows, faults)


def without_faults(name: str, rows: Sequence[RawTrace], faults: Sequence[str | None]) -> Filtered:
    """The rows whose fault is None."""
    kept, dropped = [], []
    for row, fault in zip(rows, faults, strict=True):
        if fault is None:
            kept.append(row)
        else:
            dropped.append((fault, row.place))
    return Filtered(kept, tally(name, len(rows), len(kept), dropped))


def verdicts(
    rows: Sequence[RawTrace], verify: Callable[[Sequence[Sample]], list[Score]], tick: Tick
) -> Iterator[Score | None]:
    """The verdict on each solution, None without a reference answer."""
    if rows and all(row.answer is None for row in rows):
        raise DataError(
            f"verify: no row has a reference answer (rows: {len(rows)}, first at {rows[0].place}); "
            "name its column by answer=COLUMN, or leave the verifier out"
        )

    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        scores = iter(verify([_sample(row) for row in chunk if row.answer is not None]))

        for row in chunk:
            yield None if row.answer is None else next(scores)
        tick(min(start + _CHUNK, len(rows)), len(rows))


def _judged(row: RawTrace, score: Score | None) -> Sample:
    """A solution as a selector sees it; its reward is its correctness."""
    sample = _sample(row)
    if score is None:
        return sample
    return replace(sample, correct=score.value, answer=score.answer, reward=score.value)


def _sample(row: RawTrace) -> Sample:
    return Sample(row.problem, row.solution, row.answer, row.id, row.metadata)


def _fault(score: Score | None) -> str | None:
    """Why a solution is left out; None for a right one."""
    if score is None:
        return "no reference answer"
    if score.value is None:
        return f"not judged: {score.outcome}"
    if score.value == 1:
        return None
    return "wrong" if score.value == 0 else "only partly right"
