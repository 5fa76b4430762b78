"""The page of an ablation: its table, the differences as a plot, and training curves of its arms."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rlsp_cli.ablate.ablation import Ablation
from rlsp_cli.ablate.comparison import ArmResult
from rlsp_cli.ablate.report import AblationReport
from rlsp_cli.report.evaluation import KINDS
from rlsp_cli.report.page import render
from rlsp_cli.report.plot import plots, svg
from rlsp_cli.report.step import Step, steps_of
from rlsp_cli.runs import shapes
from rlsp_cli.runs.stream import read_rows

_CURVES = {
    "Correctness": "correctness/mean",
    "Correctness on held-out problems": "heldout/correctness",
    "Response length in tokens": "response/tokens",
    "KL to the reference per response, in nats": "kl/response",
}


def page(ablation: Ablation, report: AblationReport) -> str:
    """Render templates/ablation.html.j2."""
    done = [one for one in ablation.runs if one.is_done]
    root = ablation.paths.root
    links = {one.name: str(one.run.paths.report_html.relative_to(root)) for one in done}
    return render(
        "ablation.html.j2",
        report=report,
        differences=list(_differences(report.results)),
        curves=list(_curves(ablation)),
        runs=links,
    )


def _differences(results: Sequence[ArmResult]) -> Iterator[str]:
    """A plot for each bench and decoding, of the arms with an interval."""
    parts = dict.fromkeys((result.bench, result.kind) for result in results)
    for bench, kind in parts:
        shown = [
            result
            for result in results
            if (result.bench, result.kind) == (bench, kind)
            and result.moved is not None
            and result.moved.low is not None
        ]
        if shown:
            yield _difference_plot(f"{bench}, {KINDS[kind]}", shown)


def _difference_plot(title: str, shown: Sequence[ArmResult]) -> str:
    moved = [result.moved for result in shown if result.moved is not None]
    points = [100 * one.difference for one in moved]
    half = [100 * ((one.high or 0) - one.difference) for one in moved]

    def draw(axes: Any) -> None:
        # The first arm on top, as in the table.
        places = range(len(shown), 0, -1)
        axes.errorbar(points, places, xerr=half, fmt="o", ms=4, lw=1.4, capsize=3)
        axes.axvline(0, color="0.5", lw=0.8)
        axes.set_yticks(places, [result.arm for result in shown])
        axes.set_ylim(0.4, len(shown) + 0.6)
        axes.set_xlabel("points minus the baseline (95%)")

    words = [f"{r.arm} {point:+.1f}" for r, point in zip(shown, points, strict=True)]
    return svg(draw, title, f"{title}: {'; '.join(words)}", legend=False)


def _curves(ablation: Ablation) -> Iterator[str]:
    """Curves of all arms in one plot for each key that the runs have."""
    names = [arm.name for arm in ablation.design.arms]
    steps = {
        (one.arm, one.seed): steps_of(
            read_rows(one.run.paths.stage("ppo").metrics, shapes.MetricsRow)
        )
        for one in ablation.runs
        if one.is_done
    }
    for title, key in _CURVES.items():
        yield from plots(_means(steps, key), {title: names})


def _means(runs: dict[tuple[str, int], list[Step]], key: str) -> list[Step]:
    """Steps whose keys are arms, and whose values are means of `key` over seeds."""
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (arm, _), steps in runs.items():
        for step in steps:
            if key in step.values:
                values[step.number][arm].append(step.values[key])

    means = []
    for number, of_arms in sorted(values.items()):
        means.append(Step(number, {arm: statistics.fmean(v) for arm, v in of_arms.items()}))
    return means
