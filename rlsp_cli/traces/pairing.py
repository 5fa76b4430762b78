"""A right and a wrong response to the same problem, as pairs for preference training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.evals.overlap.index import same_text
from rlsp_cli.traces.filters import without_faults
from rlsp_cli.traces.tally import Filtered, tally
from rlsp_cli.traces.trees.rows import PairTrace

Verdict = Callable[[RawTrace], float | None]
"""1 for a right response, 0 for a wrong one; None without a verdict."""


def judged(rows: Sequence[RawTrace], verdict: Verdict) -> Filtered:
    """Keep responses that are right or wrong: no verdict is no reason to prefer another."""
    faults = [_unclear(verdict(row)) for row in rows]
    return without_faults("verdict", rows, faults)


def paired(rows: Sequence[RawTrace], verdict: Verdict, most: int) -> Filtered:
    """At most `most` pairs of each problem, in the order of its responses; each is in one pair.

    Of equal responses one counts.
    """
    problems: dict[str, dict[str, RawTrace]] = {}
    for row in rows:
        problems.setdefault(same_text(row.problem), {}).setdefault(row.solution.strip(), row)

    pairs: list[RawTrace] = []
    for responses in map(dict.values, problems.values()):
        right = [one for one in responses if verdict(one) == 1]
        wrong = [one for one in responses if verdict(one) == 0]
        pairs += map(_pair, right[:most], wrong[:most])
    return Filtered(pairs, tally("pair", len(rows), len(pairs), _alone(rows, verdict)))


def _unclear(verdict: float | None) -> str | None:
    if verdict is None:
        return "no verdict"
    return None if verdict in (0, 1) else "only partly right"


def _alone(rows: Sequence[RawTrace], verdict: Verdict) -> Iterator[tuple[str, str]]:
    """A reason for each response to a problem that has only right ones, or only wrong ones."""
    found: dict[str, set[float | None]] = {}
    for row in rows:
        found.setdefault(same_text(row.problem), set()).add(verdict(row))

    for row in rows:
        if len(found[same_text(row.problem)]) == 1:
            missing = "wrong" if verdict(row) == 1 else "right"
            yield f"no {missing} response to the problem", row.place


def _pair(right: RawTrace, wrong: RawTrace) -> PairTrace:
    own = {field.name: getattr(right, field.name) for field in fields(RawTrace)}
    return PairTrace(**own, rejected=wrong.solution)
