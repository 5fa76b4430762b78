"""Metrics of one bench from its scored responses.

A response that could not be scored (error, timeout, abstention) is neither right nor wrong: it is
left out of every mean and counted apart. A problem without a scored response is left out too. Every
problem weighs the same, however many responses it has; of several problems made of one row, their
mean counts as one.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from pydantic import TypeAdapter

from rlsp_cli.evals.answer import GREEDY, SAMPLE, Scored, clusters_of
from rlsp_cli.evals.metrics.calibration import Calibration, calibration
from rlsp_cli.evals.metrics.checks import CheckLevels, check_levels
from rlsp_cli.evals.metrics.curves import (
    Curve,
    MissingK,
    best_curves,
    curve_sizes,
    maj_curve,
    missing_k,
    pass_curve,
)
from rlsp_cli.evals.metrics.dont_know import says_dont_know
from rlsp_cli.evals.metrics.tokens import accuracy_under, tokens_per_correct
from rlsp_cli.evals.metrics.vote import SameAnswer
from rlsp_cli.evals.statistics import (
    Clusters,
    Detectable,
    Estimate,
    by_cluster,
    cluster_means,
    count_clusters,
    detectable,
    mean_share,
    paired,
)
from rlsp_cli.rewards.lexicon import behaviour_counts
from rlsp_cli.rewards.repetition import repetition


@dataclass(frozen=True)
class Rates:
    """Shares of all responses: cut off, scored without an answer, and not scored, by reason."""

    truncated: float
    unanswered: float
    abstain: float
    timeout: float
    error: float


@dataclass(frozen=True)
class Metrics:
    """Metrics of the responses of one decoding, greedy or sampled.

    `problems` counts those with a scored response, `clusters` the rows that they were made of, None
    if each is a row of its own; `k` and `k_least` the most and the fewest scored
    responses to one of them. Curves are empty for single responses. Means per response are None if
    the value is not known.
    """

    responses: int
    problems: int
    k: int
    k_least: int
    accuracy: Estimate | None
    accuracy_if_unscored_wrong: float | None
    detectable: Detectable | None
    unscored: Mapping[str, int]
    rates: Rates
    tokens: float | None
    truncated: float
    answered: float
    dont_know: float
    repetition: float
    behaviour: Mapping[str, float]
    tokens_per_correct: float | None
    accuracy_under: Mapping[int, float] | None
    calibration: Calibration | None
    checks: Mapping[str, CheckLevels] = field(default_factory=dict)
    pass_at: Curve = field(default_factory=dict)
    maj_at: Curve = field(default_factory=dict)
    best_of: Mapping[str, Curve] = field(default_factory=dict)
    k_missing: MissingK | None = None
    clusters: int | None = None

    @property
    def avg(self) -> float | None:
        """avg@k: the accuracy without its interval."""
        return self.accuracy.value if self.accuracy else None

    def to_json(self) -> dict[str, Any]:
        """Plain data: a curve as `<name>_at`, its values by k, and `<name>_ci`, their intervals."""
        data = asdict(self)
        # JSON has no numbers as keys: `from_json` reads them back from text.
        if self.accuracy_under:
            data["accuracy_under"] = {str(n): share for n, share in self.accuracy_under.items()}

        data |= curve_json("pass", self.pass_at)
        data |= curve_json("maj", self.maj_at)
        data["best_of"] = {name: curve_json("best", curve) for name, curve in self.best_of.items()}

        votes = list(self.maj_at.values())
        data["maj_at_k"] = votes[-1].value if votes else None
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Metrics":
        """Read what `to_json` wrote; pydantic's ValidationError or KeyError for anything else."""
        best_of = {scorer: _curve_parts("best", curve) for scorer, curve in data["best_of"].items()}
        curves = {
            "pass_at": _curve_parts("pass", data),
            "maj_at": _curve_parts("maj", data),
            "best_of": best_of,
        }
        return _METRICS.validate_python({**data, **curves})


_METRICS = TypeAdapter(Metrics)


@dataclass(frozen=True)
class GreedyOverSampled:
    """Accuracy of greedy decoding minus that of sampling, on the problems scored for both."""

    difference: float
    low: float
    high: float
    problems: int


def summarise(
    rows: Sequence[Scored], same: SameAnswer | None = None, ks: Sequence[int] = ()
) -> Metrics:
    """Metrics of the responses of one decoding, at least one.

    `same` compares wrong answers (as text without it). `ks` are the k of pass@k and maj@k, powers
    of two if not given.
    """
    values, clusters = problem_scores(rows), clusters_of(rows)
    counts = [len(scores) for scores in values.values()] or [0]

    # Of single responses pass@1 and maj@1 are the accuracy, which is given already.
    several = max(counts) > 1
    sizes = curve_sizes(min(counts), ks) if several else []

    tokens = [row.num_tokens for row in rows if row.num_tokens is not None]
    behaviours = [behaviour_counts(row.response) for row in rows]
    unscored = Counter(row.correctness.outcome for row in rows if row.value is None)

    return Metrics(
        responses=len(rows),
        problems=len(values),
        k=max(counts),
        k_least=min(counts),
        accuracy=_accuracy(values, clusters),
        accuracy_if_unscored_wrong=_if_unscored_wrong(rows) if unscored else None,
        detectable=detectable(_pooled(values, clusters)) if values else None,
        unscored=dict(sorted(unscored.items())),
        rates=_rates(rows),
        tokens=statistics.fmean(tokens) if tokens else None,
        truncated=statistics.fmean(row.truncated for row in rows),
        answered=statistics.fmean(row.extracted is not None for row in rows),
        dont_know=statistics.fmean(map(says_dont_know, rows)),
        repetition=statistics.fmean(repetition(row.response) for row in rows),
        behaviour=_means(behaviours),
        tokens_per_correct=tokens_per_correct(rows),
        accuracy_under=accuracy_under(rows),
        calibration=calibration(rows),
        checks=check_levels(rows),
        pass_at=pass_curve(values, sizes, clusters),
        maj_at=maj_curve(rows, sizes, same) if sizes else {},
        best_of=best_curves(rows, sizes) if sizes else {},
        k_missing=missing_k(values, ks) if several else None,
        clusters=count_clusters(values, clusters),
    )


def of_kind(rows: Iterable[Scored], kind: str) -> list[Scored]:
    """The rows of one kind: greedy, sample or forced."""
    return [row for row in rows if row.kind == kind]


def problem_scores(rows: Iterable[Scored]) -> dict[str, list[float]]:
    """Scores of each problem with a scored response."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        # None is no 0: a verifier that timed out says nothing about the model.
        if row.value is not None:
            values[row.id].append(row.value)
    return values


def per_problem(rows: Iterable[Scored]) -> dict[str, float]:
    """Share of correct responses of each problem with a scored one."""
    return {id: statistics.fmean(values) for id, values in problem_scores(rows).items()}


def greedy_over_sampled(rows: Sequence[Scored]) -> GreedyOverSampled | None:
    """None if no problem has scored responses of both."""
    # Paired by problem, so that the problems' difficulty cancels out.
    greedy, sampled = per_problem(of_kind(rows, GREEDY)), per_problem(of_kind(rows, SAMPLE))
    moved = {id: greedy[id] - sampled[id] for id in greedy if id in sampled}
    if not moved:
        return None

    found = paired(cluster_means(moved, clusters_of(rows)))
    return GreedyOverSampled(found.value, found.low, found.high, len(moved))


def curve_json(name: str, curve: Curve) -> dict[str, dict[str, Any]]:
    """`<name>_at`: values by k, as text; `<name>_ci`: their intervals."""
    return {
        f"{name}_at": {str(k): estimate.value for k, estimate in curve.items()},
        f"{name}_ci": {str(k): [estimate.low, estimate.high] for k, estimate in curve.items()},
    }


def _curve_parts(name: str, data: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """A curve's estimates by k, from `curve_json`."""
    intervals = data[f"{name}_ci"]
    curve = {}
    for k, value in data[f"{name}_at"].items():
        low, high = intervals[k]
        curve[k] = {"value": value, "low": low, "high": high}
    return curve


def _accuracy(values: Mapping[str, Sequence[float]], clusters: Clusters) -> Estimate | None:
    if not values:
        return None
    means = {id: statistics.fmean(scores) for id, scores in values.items()}
    return mean_share(cluster_means(means, clusters))


def _pooled(values: Mapping[str, list[float]], clusters: Clusters) -> dict[str, list[float]]:
    """The scores of all problems of each cluster, as if they were samples of one problem.

    Problems of a cluster may differ, so their scores vary less than samples of one chance would.
    The smallest difference that follows from this is rather too large.
    """
    return {id: [*chain(*scores)] for id, scores in by_cluster(values, clusters).items()}


def _means(counts: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Mean over responses of each behaviour's count; every response has all behaviours."""
    means = {}
    for name in counts[0]:
        means[name] = statistics.fmean(of_response[name] for of_response in counts)
    return means


def _if_unscored_wrong(rows: Sequence[Scored]) -> float:
    """The least that avg@k can be: as if all responses without a score were wrong."""
    shares: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        shares[row.id].append(row.right)

    means = {id: statistics.fmean(share) for id, share in shares.items()}
    return statistics.fmean(cluster_means(means, clusters_of(rows)))


def _rates(rows: Sequence[Scored]) -> Rates:
    outcomes = Counter(row.correctness.outcome for row in rows)

    # Unscored responses have no answer either, but it is not known that they lack one.
    unanswered = sum(row.correctness.outcome == "value" and row.extracted is None for row in rows)
    return Rates(
        truncated=statistics.fmean(row.truncated for row in rows),
        unanswered=unanswered / len(rows),
        abstain=outcomes["abstain"] / len(rows),
        timeout=outcomes["timeout"] / len(rows),
        error=outcomes["error"] / len(rows),
    )
