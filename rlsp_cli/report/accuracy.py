"""Accuracy against tokens: every strategy of every model, under every setting of a sweep."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.evals.answer import FORCED, SEARCH
from rlsp_cli.evals.metrics import Metrics
from rlsp_cli.evals.results import BenchResult, Results
from rlsp_cli.evals.statistics import Difference, Estimate
from rlsp_cli.evals.strategies.token_budget import Means
from rlsp_cli.recipe.sweep import Setting, under_setting
from rlsp_cli.report.cells import NOTHING, number_cell, share_cell
from rlsp_cli.report.table import Table

ONE_ANSWER = "one answer"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A strategy's accuracy on a bench and the tokens of a problem, all models together.

    `tokens_policy` are those of the model that is evaluated. `difference` is from the single
    answers, or from the strategy `minus`, at equal tokens where `selection` says so.
    """

    bench: str
    model: str
    setting: Setting
    strategy: str
    selection: str
    responses: float
    tokens: float | None
    tokens_policy: float | None
    accuracy: Estimate
    difference: Difference | None = None
    minus: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the interval of the accuracy beside it."""
        return {**asdict(self), "interval": [self.accuracy.low, self.accuracy.high]}


def points(results: Results) -> list[Point]:
    """All strategies of all models; of a bench without strategies, its single responses."""
    found = []
    for name, model in results.models.items():
        for bench, result in model.benches.items():
            plain = name.removesuffix(under_setting("", model.setting))
            place: dict[str, Any] = {"bench": bench, "model": plain, "setting": model.setting}
            found += [Point(**place, **values) for values in _values(result)]
    return found


def sweep_points(results: Results) -> list[Point]:
    """Those of models that were swept."""
    return [point for point in points(results) if point.setting]


def sweep_table(results: Results) -> Table:
    """A row for each strategy and a column for each setting; without a sweep it has no rows."""
    found = sweep_points(results)
    settings = list(dict.fromkeys(_name(point) for point in found))

    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for point in found:
        key = (point.bench, point.model, point.strategy, point.selection)
        cell = f"{share_cell(point.accuracy)} at {number_cell(point.tokens)}"
        rows.setdefault(key, {})[_name(point)] = cell

    columns = ["bench", "model", "strategy", "chosen from", *settings]
    cells = [[*key, *(row.get(name, NOTHING) for name in settings)] for key, row in rows.items()]
    return Table("Sweep: accuracy % (95%), at tokens per problem", columns, cells, keys=4)


def best_of_sweep(results: Results) -> Iterator[str]:
    """A sentence for each bench: the most accurate setting and strategy of the sweep."""
    found = sweep_points(results)
    for bench in dict.fromkeys(point.bench for point in found):
        of_bench = [point for point in found if point.bench == bench]
        best = max(of_bench, key=lambda point: point.accuracy.value)
        tried = len({(point.model, _name(point)) for point in of_bench})
        yield (
            f"of {tried} settings {best.model} at {_name(best)} does best on {bench}: "
            f"{share_cell(best.accuracy)} % by {best.strategy} ({best.selection}) with "
            f"{number_cell(best.tokens)} tokens; the best of many is a little too good here, so "
            "measure it on other problems"
        )


def _name(point: Point) -> str:
    return under_setting("", point.setting).removeprefix("@")


def _values(result: BenchResult) -> Iterator[dict[str, Any]]:
    """What the points of a bench have beside their place."""
    if result.strategies is None:
        for kind, metrics in result.decodings.items():
            if metrics.accuracy:
                yield _single(kind, metrics, metrics.accuracy)
        return

    # A search that the others are compared with has a row of its own, forced responses have none.
    single = result.strategies.one_answer
    if single and single.kind != SEARCH:
        name = single.label if single.kind == FORCED else ONE_ANSWER
        yield {"strategy": name, "selection": single.label, **_cost(single)}

    for row in result.strategies.rows:
        moved = {"difference": row.difference, "minus": row.minus}
        yield {"strategy": row.strategy, "selection": row.selection, **moved, **_cost(row)}


def _single(kind: str, metrics: Metrics, accuracy: Estimate) -> dict[str, Any]:
    tokens = metrics.tokens
    cost = {"responses": 1.0, "tokens": tokens, "tokens_policy": tokens}
    return {"strategy": ONE_ANSWER, "selection": kind, "accuracy": accuracy, **cost}


def _cost(means: Means) -> dict[str, Any]:
    keys = ("responses", "tokens", "tokens_policy", "accuracy")
    return {key: getattr(means, key) for key in keys}


def curves(found: Sequence[Point]) -> dict[str, list[Point]]:
    """The points with known tokens by strategy, in the order of their tokens."""
    known = sorted((p for p in found if p.tokens), key=lambda point: point.tokens or 0)
    return {
        strategy: [point for point in known if point.strategy == strategy]
        for strategy in dict.fromkeys(point.strategy for point in known)
    }
