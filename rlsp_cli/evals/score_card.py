"""The score card of a bench: the numbers of the model evaluated, flat, for scripts and CI."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.evals.metrics import Curve, GreedyOverSampled, Metrics, curve_json
from rlsp_cli.evals.overlap import Contamination
from rlsp_cli.evals.results import BenchResult, Results, contamination_json
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.evals.strategies import StrategyTable
from rlsp_cli.rewards.answers import answer_rule


@dataclass(frozen=True)
class ScoreCard:
    """The sampled responses to a bench if there are some, else the greedy ones.

    `verifier` judged benches without one of their own. `contaminated` says how much of the bench
    was in training data.
    """

    decoding: str
    metrics: Metrics
    result: BenchResult
    verifier: Mapping[str, Any]
    contaminated: Mapping[str, Contamination]

    @property
    def avg(self) -> Estimate | None:
        """avg@k, None if nothing was scored."""
        return self.metrics.accuracy

    def to_json(self) -> dict[str, Any]:
        """Plain data; docs/evaluation.md has the keys.

        `truncated` and `unanswered` are shares, `abstentions`, `timeouts` and `errors` counts.
        """
        metrics, result, protocol = self.metrics, self.result, self.result.protocol
        data = metrics.to_json()

        # Scripts of users read these keys: they do not follow the names of our attributes.
        return {
            "decoding": self.decoding,
            "problems": protocol.problems,
            "samples": metrics.responses,
            "scored_problems": metrics.problems,
            "avg": self.avg and self.avg.value,
            "avg_ci": self.avg and [self.avg.low, self.avg.high],
            "avg_if_unscored_wrong": metrics.accuracy_if_unscored_wrong,
            **_single("pass", metrics.pass_at, self.avg),
            **_single("maj", metrics.maj_at, self.avg if metrics.k == 1 else None),
            "best_of": data["best_of"],
            "k_missing": data["k_missing"],
            "checks": data["checks"],
            "truncated": metrics.truncated,
            "unanswered": metrics.rates.unanswered,
            "dont_know": metrics.dont_know,
            "abstentions": metrics.unscored.get("abstain", 0),
            "timeouts": metrics.unscored.get("timeout", 0),
            "errors": metrics.unscored.get("error", 0),
            "detectable": data["detectable"],
            "tokens": metrics.tokens,
            "tokens_per_correct": metrics.tokens_per_correct,
            "accuracy_under": data["accuracy_under"],
            "calibration": data["calibration"],
            "strategies": result.strategies and _strategies(result.strategies),
            "greedy_over_sampled": _plain(result.greedy_over_sampled),
            "answer_rule": answer_rule(protocol.verifier or self.verifier),
            "protocol": protocol.to_json(),
            "contaminated": contamination_json(self.contaminated),
        }


def score_cards(results: Results) -> dict[str, ScoreCard]:
    """Bench -> card, of the only model; nothing if there are several."""
    if len(results.models) != 1:
        return {}
    (model,) = results.models.values()
    return {bench: _card(result, results, bench) for bench, result in model.benches.items()}


def _card(result: BenchResult, results: Results, bench: str) -> ScoreCard:
    # Sampled responses come last where both kinds exist: more of them mean narrower intervals.
    decoding, metrics = list(result.decodings.items())[-1]
    return ScoreCard(
        decoding, metrics, result, results.verifier, results.contaminated.get(bench, {})
    )


def _strategies(table: StrategyTable) -> dict[str, Any]:
    """The table; a row has the interval of its accuracy beside it too, for scripts."""
    data = asdict(table)
    for row in data["rows"]:
        row["interval"] = [row["accuracy"]["low"], row["accuracy"]["high"]]
    return data


def _single(name: str, curve: Curve, only: Estimate | None) -> dict[str, Any]:
    """A curve as data; that of single responses is their accuracy, without an interval."""
    data = curve_json(name, curve)
    if not curve and only:
        data[f"{name}_at"] = {"1": only.value}
    return data


def _plain(beside: GreedyOverSampled | None) -> dict[str, Any] | None:
    return asdict(beside) if beside else None
