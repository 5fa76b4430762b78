"""The tables of an evaluation: its numbers, their intervals, and curves over k and tokens."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.evals.compare import Comparison
from rlsp_cli.evals.metrics import Curve, Metrics
from rlsp_cli.evals.metrics.calibration import Calibration
from rlsp_cli.evals.results import BenchResult, Results
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.evals.strategies import StrategyRow, StrategyTable
from rlsp_cli.evals.strategies.token_budget import Means
from rlsp_cli.report.cells import (
    NOTHING,
    difference_cell,
    number_cell,
    p_cell,
    percent_cell,
    points_cell,
    problems_cell,
    share_cell,
    verdict_cell,
)
from rlsp_cli.report.step import Step
from rlsp_cli.report.table import Table

KINDS = {"greedy": "greedy", "sample": "sampled", "forced": "forced", "search": "searched"}
"""Kind of responses -> its name in tables."""
_KEYS = ["bench", "decoding", "model"]
"""The columns that say what a row is about."""


@dataclass(frozen=True)
class Part:
    """One model on one bench by one decoding."""

    model: str
    bench: str
    kind: str
    metrics: Metrics
    result: BenchResult

    @property
    def keys(self) -> list[str]:
        """The first cells of its rows."""
        return [self.bench, KINDS[self.kind], self.model]


def evaluation_tables(results: Results) -> list[Table]:
    """All tables but those of accuracies and differences; without data, they have no rows."""
    # From what most readers want to what few do.
    parts = list(parts_of(results))
    return [
        _checks(parts),
        _certainty(parts),
        _curves(parts),
        _budgets(parts),
        _strategies(results),
        _calibration(parts),
        _confidence_by_length(parts),
    ]


def eval_table(results: Results) -> Table:
    """One row per bench, kind of decoding and model; shares in percent with 95% intervals."""
    parts = list(parts_of(results))
    benches, kinds = list(dict.fromkeys(part.bench for part in parts)), list(KINDS)

    # Models are compared within a bench, so their rows are next to each other.
    def place(part: Part) -> tuple[int, int]:
        return benches.index(part.bench), kinds.index(part.kind)

    by_bench = sorted(parts, key=place)
    rows = [[part.bench, _decoding(part), part.model, *_numbers(part)] for part in by_bench]
    columns = [
        "bench",
        "decoding",
        "model",
        "accuracy % (95%)",
        "pass@k %",
        "maj@k %",
        "tokens",
        "truncated %",
    ]
    columns += ["answered %", "repetition", "backtrack", "verify", "unscored"]

    return Table("Evaluation, per response", columns, rows, keys=3)


def difference_table(comparisons: Sequence[Comparison]) -> Table:
    """Paired differences in points of percent, and whether they differ from 0."""
    rows = []
    for comparison in comparisons:
        moved = comparison.moved

        models = f"{comparison.before} -> {comparison.after}"
        tested = [
            difference_cell(moved),
            verdict_cell(moved),
            p_cell(moved.p_value),
            problems_cell(moved.problems, moved.clusters),
        ]
        rows.append([comparison.bench, KINDS[comparison.kind], models, *tested])
    columns = ["bench", "decoding", "models", "points (95%)", "verdict", "p", "problems"]
    return Table("Difference on the same problems", columns, rows, keys=3)


def accuracy_over_steps(results: Results) -> list[Step]:
    """The models `step-N` of a training, each with its accuracies by `BENCH/DECODING`."""
    steps = []
    for model, result in results.models.items():
        name = re.fullmatch(r"step-(\d+)", model)
        if name is None:
            continue

        accuracies = {}
        for bench, found in result.benches.items():
            for kind, metrics in found.decodings.items():
                if metrics.avg is not None:
                    accuracies[f"{bench}/{KINDS[kind]}"] = metrics.avg
        steps.append(Step(int(name[1]), accuracies))
    return steps


def of_problems(metrics: Metrics, result: BenchResult) -> str:
    """` on 510 of 541 problems`, if the others have no scored response; otherwise empty."""
    # With none at all there is no number to explain.
    scored, whole = metrics.problems, result.protocol.problems
    return f" on {scored} of {whole} problems" if 0 < scored < whole else ""


def parts_of(results: Results) -> Iterator[Part]:
    """Every model on every bench, by each decoding."""
    for model, result in results.models.items():
        for bench, found in result.benches.items():
            for kind, metrics in found.decodings.items():
                yield Part(model, bench, kind, metrics, found)


def strategies(results: Results) -> Iterator[tuple[str, str, StrategyTable]]:
    """(model, bench, its test-time strategies), for models that were asked for some."""
    for model, result in results.models.items():
        for bench, found in result.benches.items():
            if found.strategies:
                yield model, bench, found.strategies


def _numbers(part: Part) -> list[str]:
    metrics = part.metrics
    return [
        share_cell(metrics.accuracy) + of_problems(metrics, part.result),
        _at_largest_k(metrics.pass_at, metrics.k),
        _at_largest_k(metrics.maj_at, metrics.k),
        number_cell(metrics.tokens, 1),
        percent_cell(metrics.truncated),
        percent_cell(metrics.answered),
        number_cell(metrics.repetition, 3),
        number_cell(metrics.behaviour["backtrack"], 2),
        number_cell(metrics.behaviour["verify"], 2),
        _unscored(metrics),
    ]


def _decoding(part: Part) -> str:
    """`greedy`, `avg@16`, or `avg@12-16` if problems have different numbers of scored responses."""
    k, least = part.metrics.k, part.metrics.k_least
    if part.kind == "greedy":
        return "greedy"
    if not k:
        return "avg@-"
    return f"avg@{k}" if least == k else f"avg@{least}-{k}"


def _at_largest_k(curve: Curve, k: int) -> str:
    """The value at the largest k, which is named if it is not `k`, that of avg@k."""
    if not curve:
        return NOTHING

    largest = max(curve)
    return percent_cell(curve[largest].value) + ("" if largest == k else f" @{largest}")


def _unscored(metrics: Metrics) -> str:
    counts = ", ".join(f"{n} {outcome}" for outcome, n in metrics.unscored.items()) or NOTHING

    # The worst case: a reader sees whether it would change the verdict.
    if metrics.accuracy_if_unscored_wrong is None:
        return counts
    return f"{counts} (accuracy {percent_cell(metrics.accuracy_if_unscored_wrong)} if wrong)"


def _checks(parts: Sequence[Part]) -> Table:
    rows = []
    for part in parts:
        for rule, levels in part.metrics.checks.items():
            shares = [share_cell(levels.prompt), share_cell(levels.instruction)]
            rows.append([*part.keys, rule, *shares])

    columns = [*_KEYS, "rule", "prompts with all kept % (95%)", "instructions kept % (95%)"]
    title = "Instructions kept, at the levels of the prompt and of the instruction"
    return Table(title, columns, rows, keys=3)


def _certainty(parts: Sequence[Part]) -> Table:
    """Minimum detectable differences, greedy beside sampled, and unscored responses."""
    rows = []
    for part in parts:
        metrics = part.metrics
        if metrics.detectable is None:
            continue

        counts = [problems_cell(metrics.problems, metrics.clusters), str(metrics.responses)]
        detectable = [metrics.detectable.unpaired, metrics.detectable.paired]
        rates = metrics.rates
        lost = [rates.unanswered, metrics.dont_know, rates.abstain, rates.timeout, rates.error]
        rows.append(
            [
                *part.keys,
                *counts,
                *map(percent_cell, detectable),
                _over_sampled(part),
                *map(percent_cell, lost),
            ]
        )

    columns = [*_KEYS, "problems", "responses", "unpaired", "paired", "greedy minus sampled (95%)"]
    columns += ["unanswered %", "I don't know %", "abstained %", "timed out %", "errors %"]
    title = "Minimum detectable difference in points (80% power), and unscored responses"
    return Table(title, columns, rows, keys=3)


def _over_sampled(part: Part) -> str:
    beside = part.result.greedy_over_sampled
    if part.kind != "greedy" or beside is None:
        return NOTHING
    return points_cell(beside.difference, beside.low, beside.high)


def _curves(parts: Sequence[Part]) -> Table:
    curves = []
    for part in parts:
        for name, curve in _named_curves(part.metrics):
            if curve:
                curves.append(([*part.keys, name], curve))

    # Benches may have different k: the table has a column for each.
    ks = sorted(set().union(*(curve for _, curve in curves)))

    rows = []
    for keys, curve in curves:
        rows.append([*keys, *(share_cell(curve.get(k)) for k in ks)])

    columns = [*_KEYS, "metric", *(f"k = {k}" for k in ks)]
    return Table("Chance of a right answer from k responses, % (95%)", columns, rows, keys=4)


def _named_curves(metrics: Metrics) -> Iterator[tuple[str, Curve]]:
    yield "pass@k", metrics.pass_at
    yield "maj@k", metrics.maj_at
    for scorer, curve in metrics.best_of.items():
        yield f"best of k by {scorer}", curve


def _budgets(parts: Sequence[Part]) -> Table:
    known = [(part, part.metrics.accuracy_under) for part in parts if part.metrics.accuracy_under]
    budgets = sorted(set().union(*(under for _, under in known)))

    rows = []
    for part, under in known:
        accuracies = [percent_cell(under.get(budget)) for budget in budgets]
        rows.append([*part.keys, number_cell(part.metrics.tokens_per_correct), *accuracies])

    columns = [*_KEYS, "tokens per correct", *(f"<= {budget}" for budget in budgets)]
    title = "Accuracy % where longer responses count as wrong, by tokens"
    return Table(title, columns, rows, keys=3)


def _strategies(results: Results) -> Table:
    """The single answers of each comparison, then the strategies beside them."""
    rows = []
    for model, bench, table in strategies(results):
        # What the strategies are compared with: one longer answer at the same cost.
        if single := table.one_answer:
            name, selection = f"one answer: {single.label}", f"each {KINDS[single.kind]}"
            rows.append([bench, model, name, selection, *_cost(single), *[NOTHING] * 3])
        for row in table.rows:
            rows.append([bench, model, row.strategy, _selection(row), *_cost(row), *_moved(row)])

    columns = [
        "bench",
        "model",
        "strategy",
        "chosen from",
        "responses",
        "tokens",
        "accuracy % (95%)",
    ]
    columns += ["minus one answer (95%)", "p", "verdict"]
    title = "Strategies: one answer out of several responses, with tokens per problem"
    return Table(title, columns, rows, keys=3)


def _selection(row: StrategyRow) -> str:
    if row.minus:
        return f"a tree, minus {row.minus}"
    return f"{row.selection}, too few in {row.ran_out}" if row.ran_out else row.selection


def _cost(means: Means) -> list[str]:
    return [number_cell(means.responses, 1), number_cell(means.tokens), share_cell(means.accuracy)]


def _moved(row: StrategyRow) -> list[str]:
    if row.difference is None:
        return [NOTHING] * 3
    return [
        difference_cell(row.difference),
        p_cell(row.difference.p_value),
        verdict_cell(row.difference),
    ]


def _calibration(parts: Sequence[Part]) -> Table:
    rows = []
    for part in parts:
        if part.metrics.calibration:
            rows.append([*part.keys, *_errors(part.metrics.calibration)])

    columns = [
        *_KEYS,
        "responses that state it %",
        "confidence %",
        "accuracy %",
        "Brier",
        "ECE (95%)",
        "ECE by chance",
        "AUROC (95%)",
    ]
    return Table("Calibration of stated confidence", columns, rows, keys=3)


def _confidence_by_length(parts: Sequence[Part]) -> Table:
    rows = []
    for part in parts:
        for bucket in part.metrics.calibration.by_length if part.metrics.calibration else ():
            over = points_cell(bucket.over.value, bucket.over.low, bucket.over.high)
            shares = map(percent_cell, (bucket.confidence, bucket.accuracy))
            length = [f"<= {bucket.most_tokens}", str(bucket.responses)]
            rows.append([*part.keys, *length, *shares, over])

    columns = [*_KEYS, "tokens", "responses", "confidence %", "accuracy %"]
    columns += ["confidence minus accuracy (95%)"]
    return Table("Stated confidence by the length of the response", columns, rows, keys=4)


def _errors(stated: Calibration) -> list[str]:
    low, high = stated.ece_ci

    # ECE is above 0 even for perfect calibration, so that of chance is beside it.
    return [
        *map(percent_cell, (stated.stated, stated.confidence, stated.accuracy)),
        f"{stated.brier:.3f}",
        f"{stated.ece:.3f} ({low:.3f} to {high:.3f})",
        f"{stated.ece_by_chance:.3f}",
        _auroc(stated.auroc),
    ]


def _auroc(estimate: Estimate | None) -> str:
    if estimate is None:
        return NOTHING
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
