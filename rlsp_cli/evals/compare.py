"""Models side by side on the same problems."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.metrics import per_problem, problem_scores
from rlsp_cli.evals.metrics.vote import Row
from rlsp_cli.evals.saved_answers import SavedAnswers
from rlsp_cli.evals.statistics import LEVEL, detectable_between, detectable_by, paired

_SAME = ("bench_digest", "prompt_digest", "verifier")
"""What must not differ between two models that are compared."""


def comparisons(rows: Mapping[str, Mapping[str, Sequence[Row]]]) -> list[dict[str, Any]]:
    """Each model against the one before it: paired differences of accuracy. `rows` is model -> bench -> rows."""
    return [
        {"from": before, "to": after, "bench": bench, "kind": kind, **found}
        for before, after in pairwise(rows)
        for bench in rows[after]
        for kind in ("greedy", "sample")
        if (found := _difference(rows[before][bench], rows[after][bench], kind))
    ]


def compare(before: Sequence[SavedAnswers], after: Sequence[SavedAnswers], allow: bool = False) -> dict[str, Any]:
    """Two models on every bench that both answered: `comparisons`, and in `differs` what else is not the same.

    UsageError when bench, prompts or verifier differ or are not known, unless `allow`; and when no problem is shared.
    """
    pairs = _pairs(before, after)
    refused = [line for a, b in pairs for line in _refused(a, b)]
    if refused and not allow:
        raise UsageError("; ".join(refused) + "; add --allow-differences to compare them all the same")
    found = [
        {"from": a.label, "to": b.label, "bench": a.bench, "kind": kind, **moved}
        for a, b in pairs
        for kind in ("greedy", "sample")
        if (moved := _difference(a.rows, b.rows, kind))
    ]
    if not found:
        raise UsageError(f"{before[0].label} and {after[0].label}: no problem that both answered in the same decoding")
    return {"comparisons": found, "differs": [*refused, *(line for a, b in pairs for line in _other(a, b))]}


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any] | None:
    """Mean of after - before over the problems of both, by id, with interval and words; None when they share none."""
    shared = [id for id in before if id in after]
    if not shared:
        return None
    differences = [after[id] - before[id] for id in shared]
    moved = paired(differences)
    found: dict[str, Any] = {"difference": moved.value, "low": moved.low, "high": moved.high}
    found |= {"problems": len(shared), "differ": moved.differ, "p_value": moved.p}
    return {**found, "detectable": detectable_by(differences), "verdict": verdict(found)}


def refuse_differences(a: SavedAnswers, b: SavedAnswers, keys: Sequence[str]) -> None:
    """UsageError when one of these keys differs in how the two were made, or is not known of one."""
    if lines := _refused(a, b, keys):
        raise UsageError("; ".join(lines))


def verdict(item: Mapping[str, Any]) -> str:
    """`better`, `worse` or `cannot be told apart`: where the interval holds 0, which is where p is above 0.05.

    Results of former versions may have one without the other.
    """
    if item["low"] <= 0 <= item["high"] or item.get("p_value", 0) > LEVEL:
        return "cannot be told apart"
    return "better" if item["low"] > 0 else "worse"


def _difference(before: Sequence[Row], after: Sequence[Row], kind: str) -> dict[str, Any] | None:
    """As `difference`; with every sample at hand, what can be shown is the greater of two estimates."""
    found = difference(per_problem(before, kind), per_problem(after, kind))
    if found is None:
        return None

    ours, theirs = problem_scores(before, kind), problem_scores(after, kind)
    between = detectable_between([(ours[id], theirs[id]) for id in ours if id in theirs])
    return {**found, "detectable": max(filter(None, [found["detectable"], between]), default=None)}


def _pairs(before: Sequence[SavedAnswers], after: Sequence[SavedAnswers]) -> list[tuple[SavedAnswers, SavedAnswers]]:
    """The same bench of both; one bench each is a pair whatever the folders are called."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    others = {answered.bench: answered for answered in after}
    pairs = [(answered, others[answered.bench]) for answered in before if answered.bench in others]
    if not pairs:
        benches = [", ".join(answered.bench for answered in side) for side in (before, after)]
        raise UsageError(f"no bench that both answered: {before[0].label} has {benches[0]}, the other {benches[1]}")
    return pairs


def _refused(a: SavedAnswers, b: SavedAnswers, keys: Sequence[str] = _SAME) -> list[str]:
    lines = []
    for key in keys:
        x, y = a.made.get(key), b.made.get(key)
        unknown = [answered.label for answered, value in ((a, x), (b, y)) if value is None]
        if unknown:
            lines.append(f"{a.bench}: {key} of {' and '.join(unknown)} is not known")
        elif x != y:
            lines.append(f"{a.bench}: {key} differs: {_short(x)} and {_short(y)}")
    return lines


def _other(a: SavedAnswers, b: SavedAnswers) -> list[str]:
    keys = [key for key in a.made if key in b.made and key not in _SAME and a.made[key] != b.made[key]]
    return [f"{a.bench}: {key} differs: {_short(a.made[key])} and {_short(b.made[key])}" for key in keys]


def _short(value: Any) -> str:
    """A digest by its first letters, anything else as it is."""
    text = str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text
