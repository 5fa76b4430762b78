"""Two models on the same problems: which is better, by how much, and whether that can be said."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from typing import Any

from pydantic import TypeAdapter

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.answer import GREEDY, SAMPLE, Scored, clusters_of
from rlsp_cli.evals.metrics import of_kind, per_problem, problem_scores
from rlsp_cli.evals.saved_answers import SavedAnswers
from rlsp_cli.evals.statistics import Difference, by_cluster, detectable_between, difference

_SAME = ("bench_digest", "prompt_digest", "verifier")
"""What must not differ between two models that are compared."""
_SAME_BUT_THE_SWITCH = ("bench_digest", "turn_digest", "verifier")
"""The same where thinking is on in one of them and off in the other: their prompts must differ."""
_DIFFERENCE = TypeAdapter(Difference)
_SHOWN_OF_A_DIGEST = 12
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class Comparison:
    """Two models on one bench, decoded in the same way; `moved` is accuracy after minus before."""

    before: str
    after: str
    bench: str
    kind: str
    moved: Difference

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the models as `from` and `to`."""
        place = {"from": self.before, "to": self.after, "bench": self.bench, "kind": self.kind}
        return {**place, **asdict(self.moved)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Comparison":
        """Read what `to_json` wrote."""
        moved = _DIFFERENCE.validate_python(data)
        return cls(data["from"], data["to"], data["bench"], data["kind"], moved)


@dataclass(frozen=True)
class ComparedAnswers:
    """Two evaluations on the benches of both; `differs` has a line for whatever else differs."""

    comparisons: Sequence[Comparison]
    differs: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        comparisons = [comparison.to_json() for comparison in self.comparisons]
        return {"comparisons": comparisons, "differs": list(self.differs)}


def compare_in_order(rows: Mapping[str, Mapping[str, Sequence[Scored]]]) -> list[Comparison]:
    """Each model with the one before it, on every bench; `rows` is model -> bench -> rows."""
    comparisons: list[Comparison] = []
    for before, after in pairwise(rows):
        for bench in rows[after]:
            comparisons += _compare(before, after, bench, rows[before][bench], rows[after][bench])
    return comparisons


def compare_settings(rows: Mapping[str, Mapping[str, Sequence[Scored]]]) -> list[Comparison]:
    """Sampled responses under each setting of a sweep with those under the first one.

    `rows` is setting -> bench -> rows.
    """
    comparisons: list[Comparison] = []
    first, *others = rows
    for other in others:
        for bench in rows[other]:
            sides = (of_kind(rows[name][bench], SAMPLE) for name in (first, other))
            comparisons += _compare(first, other, bench, *sides)
    return comparisons


def compare_probes(
    rows: Mapping[str, Mapping[str, Sequence[Scored]]], probes: Mapping[str, str]
) -> list[Comparison]:
    """Each model on a probe with itself on the plain bench; `probes` is probe -> bench.

    A probe may make several problems of one. Their mean is then compared with the problem's, and
    problems that were made of one row count as one, as everywhere.
    """
    comparisons: list[Comparison] = []
    for model, benches in rows.items():
        for probe, bench in probes.items():
            asked = f"{model} on {probe}"
            for kind in (GREEDY, SAMPLE):
                before, after = (of_kind(benches[name], kind) for name in (bench, probe))
                moved = difference(_by_row(before), _by_row(after), {})
                if moved:
                    comparisons.append(Comparison(model, asked, bench, kind, moved))
    return comparisons


def compare(
    before: Sequence[SavedAnswers], after: Sequence[SavedAnswers], allow: bool = False
) -> ComparedAnswers:
    """Two models on every bench that both answered.

    UsageError when bench, prompts or verifier differ or are not known, unless `allow`; and when no
    problem is shared.
    """
    comparisons: list[Comparison] = []
    refused: list[str] = []
    other: list[str] = []
    for a, b in _pairs(before, after):
        comparisons += _compare(a.label, b.label, a.bench, a.rows, b.rows)
        refused += _refused(a, b, _SAME_BUT_THE_SWITCH if _switched(a, b) else _SAME)
        other += _other(a, b)

    # Unless asked to, a difference of prompts or verifiers must not pass for one of models.
    if refused and not allow:
        raise UsageError(
            "; ".join(refused) + "; add --allow-differences to compare them all the same"
        )
    if not comparisons:
        raise UsageError(
            f"{before[0].label} and {after[0].label}: "
            "no problem that both answered in the same decoding"
        )
    return ComparedAnswers(comparisons, [*refused, *other])


def refuse_differences(a: SavedAnswers, b: SavedAnswers, keys: Sequence[str]) -> None:
    """UsageError when one of these keys differs in how the two were made, or is not known."""
    if lines := _refused(a, b, keys):
        raise UsageError("; ".join(lines))


def _compare(
    before: str, after: str, bench: str, earlier: Sequence[Scored], later: Sequence[Scored]
) -> list[Comparison]:
    """Greedy and sampled responses, as far as both sides have scored ones to the same problems."""
    comparisons = []
    for kind in (GREEDY, SAMPLE):
        moved = _difference(of_kind(earlier, kind), of_kind(later, kind))
        if moved:
            comparisons.append(Comparison(before, after, bench, kind, moved))
    return comparisons


def _difference(before: Sequence[Scored], after: Sequence[Scored]) -> Difference | None:
    """None if no problem has scored responses of both."""
    clusters = clusters_of([*before, *after])
    moved = difference(per_problem(before), per_problem(after), clusters)
    if moved is None:
        return None

    # Each of the two simulations knows what the other does not (see `detectable_between`). The
    # greater number is the one that promises less.
    ours, theirs = problem_scores(before), problem_scores(after)
    shared = {id: (ours[id], theirs[id]) for id in ours if id in theirs}
    between = detectable_between(
        [_pooled(pairs) for pairs in by_cluster(shared, clusters).values()]
    )
    return replace(moved, detectable=max(filter(None, [moved.detectable, between]), default=None))


def _by_row(rows: Sequence[Scored]) -> dict[str, float]:
    """Accuracy of each row of the source, however many problems were made of it."""
    groups = by_cluster(per_problem(rows), clusters_of(rows))
    return {row: statistics.fmean(values) for row, values in groups.items()}


def _pooled(pairs: Sequence[tuple[list[float], list[float]]]) -> tuple[list[float], list[float]]:
    """The scores of a cluster's problems, of each model."""
    ours, theirs = zip(*pairs, strict=True)
    return [*chain(*ours)], [*chain(*theirs)]


def _pairs(
    before: Sequence[SavedAnswers], after: Sequence[SavedAnswers]
) -> list[tuple[SavedAnswers, SavedAnswers]]:
    """The benches that both answered, in pairs; UsageError if there is none."""
    # One bench each is a pair whatever the folders are called, as with two samples.jsonl files.
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]

    others = {saved.bench: saved for saved in after}
    pairs = [(saved, others[saved.bench]) for saved in before if saved.bench in others]
    if not pairs:
        ours = ", ".join(saved.bench for saved in before)
        theirs = ", ".join(saved.bench for saved in after)
        raise UsageError(
            f"no bench that both answered: {before[0].label} has {ours}, the other {theirs}"
        )
    return pairs


def _refused(a: SavedAnswers, b: SavedAnswers, keys: Sequence[str]) -> list[str]:
    """A line for each of these keys that differs or is not known, as far as protocol.json says."""
    lines = []
    for key in keys:
        x, y = a.made.get(key), b.made.get(key)
        unknown = [saved.label for saved, value in ((a, x), (b, y)) if value is None]
        if unknown:
            lines.append(f"{a.bench}: {key} of {' and '.join(unknown)} is not known")
        elif x != y:
            lines.append(f"{a.bench}: {key} differs: {_short(x)} and {_short(y)}")
    return lines


def _switched(a: SavedAnswers, b: SavedAnswers) -> bool:
    return {a.made.get("thinking"), b.made.get("thinking")} == {"on", "off"}


def _other(a: SavedAnswers, b: SavedAnswers) -> list[str]:
    """What differs beside the keys that must not."""
    shared = [key for key in a.made if key in b.made and key not in _SAME]
    different = [key for key in shared if a.made[key] != b.made[key]]
    return [
        f"{a.bench}: {key} differs: {_short(a.made[key])} and {_short(b.made[key])}"
        for key in different
    ]


def _short(value: Any) -> str:
    """A digest by its first characters, anything else as it is."""
    text = str(value)
    is_digest = len(text) == _SHA256_DIGITS and text.isalnum()
    return text[:_SHOWN_OF_A_DIGEST] if is_digest else text
