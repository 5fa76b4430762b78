"""Models side by side on the same problems."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rlsp_cli.evals.interval import paired_difference
from rlsp_cli.evals.metrics import Row, per_problem


def comparisons(rows: Mapping[str, Mapping[str, Sequence[Row]]]) -> list[dict[str, Any]]:
    """Each model against the one before it: paired differences of accuracy. `rows` is model -> bench -> rows."""
    return [
        {"from": before, "to": after, "bench": bench, "kind": kind, **difference}
        for before, after in pairwise(rows)
        for bench in rows[after]
        for kind in ("greedy", "sample")
        if (difference := _difference(rows[before][bench], rows[after][bench], kind))
    ]


def _difference(before: Sequence[Row], after: Sequence[Row], kind: str) -> dict[str, Any] | None:
    """None when no problem has scored responses of this kind from both."""
    a, b = per_problem(before, kind), per_problem(after, kind)
    shared = [id for id in a if id in b]
    if not shared:
        return None
    interval = paired_difference([a[id] for id in shared], [b[id] for id in shared])
    return {"difference": interval.value, "low": interval.low, "high": interval.high, "problems": len(shared)}
