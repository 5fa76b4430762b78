"""Accuracy against tokens as SVG text: a plot for each bench, model and setting."""

from collections.abc import Sequence
from typing import Any

from rlsp_cli.evals.results import Results
from rlsp_cli.recipe.sweep import under_setting
from rlsp_cli.report.accuracy import ONE_ANSWER, Point, curves, points
from rlsp_cli.report.plot import svg

_MARGIN = 0.03
"""Of an axis of shares, beyond the intervals."""
_TOKENS_MARGIN = 1.15
"""Factor beyond the least and most tokens."""


def accuracy_plots(results: Results) -> list[str]:
    """Plots of strategies and sweeps; those of one bench have the same axes, to be compared."""
    found = [point for point in points(results) if point.tokens]
    figures = []
    for bench in dict.fromkeys(point.bench for point in found):
        of_bench = [point for point in found if point.bench == bench]
        for model in dict.fromkeys(map(_model, of_bench)):
            own = [point for point in of_bench if _model(point) == model]
            if len(own) > 1 and any(_is_compared(point) for point in own):
                figures.append(_plot(f"{bench}, {model}", own, of_bench))
    return figures


def _is_compared(point: Point) -> bool:
    """Whether there is more to see than greedy and sampled responses."""
    return bool(point.setting) or point.strategy != ONE_ANSWER


def _plot(name: str, own: Sequence[Point], of_bench: Sequence[Point]) -> str:
    # The setting of a sweep is on a line of its own: together they are too long.
    title, drawn = name.replace("@", "\n"), curves(own)

    def draw(axes: Any) -> None:
        for strategy, along in drawn.items():
            _draw_curve(axes, strategy, along)
        axes.set_xlabel("tokens per problem")
        axes.set_ylabel("accuracy")
        _limit(axes, of_bench)

    return svg(draw, title, _described(name, drawn), legend=True)


def _draw_curve(axes: Any, strategy: str, along: Sequence[Point]) -> None:
    tokens = [point.tokens for point in along]
    values = [point.accuracy.value for point in along]
    below = [point.accuracy.value - point.accuracy.low for point in along]
    above = [point.accuracy.high - point.accuracy.value for point in along]

    label = strategy.replace("_", " ")
    axes.errorbar(
        tokens, values, [below, above], label=label, marker="o", ms=3, lw=1.2, elinewidth=0.8
    )


def _limit(axes: Any, shown: Sequence[Point]) -> None:
    tokens = [point.tokens or 1 for point in shown]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(tokens) / _TOKENS_MARGIN, max(tokens) * _TOKENS_MARGIN)
    axes.xaxis.set_major_formatter("{x:.0f}")

    lowest = min(point.accuracy.low for point in shown)
    highest = max(point.accuracy.high for point in shown)
    axes.set_ylim(lowest - _MARGIN, highest + _MARGIN)


def _described(name: str, drawn: dict[str, list[Point]]) -> str:
    """The plot in words: every strategy with its most tokens."""
    ends = []
    for strategy, along in drawn.items():
        last = along[-1]
        ends.append(f"{strategy} {last.accuracy.value:.3g} at {last.tokens:.0f} tokens")
    return f"Accuracy against tokens, {name}: " + "; ".join(ends)


def _model(point: Point) -> str:
    return under_setting(point.model, point.setting)
