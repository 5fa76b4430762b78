"""The report as one HTML file that needs nothing else; whatever a model wrote is escaped."""

from collections.abc import Sequence
from typing import Any

from rlsp_cli.report.accuracy_plot import accuracy_plots
from rlsp_cli.report.behaviour import CAVEAT, group_table
from rlsp_cli.report.evaluation import accuracy_over_steps
from rlsp_cli.report.examples import Example
from rlsp_cli.report.plot import PPO_PLOTS, SFT_PLOTS, plots
from rlsp_cli.report.step import Step, keys_of, steps_of
from rlsp_cli.report.summary import Report
from rlsp_cli.report.trees import TreePicture
from rlsp_cli.share import share


def page(report: Report, examples: Sequence[Example], trees: Sequence[TreePicture] = ()) -> str:
    """The page of a run."""
    return render(
        "report.html.j2",
        report=report,
        tables=report.tables,
        figures=_figures(report),
        accuracy=accuracy_plots(report.evaluation),
        examples=examples,
        trees=trees,
        behaviour=group_table(report.behaviour) if report.behaviour else None,
        caveat=CAVEAT,
    )


def render(template: str, **values: Any) -> str:
    """Render a page of templates/, in which all text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(share("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def _figures(report: Report) -> list[str]:
    evaluated = accuracy_over_steps(report.evaluation)
    accuracy = {f"Accuracy on {bench} over steps": [f"{bench}/*"] for bench in _benches(evaluated)}
    return [
        *plots(evaluated, accuracy),
        *plots(steps_of(report.ppo), PPO_PLOTS),
        *plots(steps_of(report.sft), SFT_PLOTS),
    ]


def _benches(steps: Sequence[Step]) -> list[str]:
    """The benches of steps with keys `BENCH/DECODING`."""
    return list(dict.fromkeys(key.rpartition("/")[0] for key in keys_of(steps)))
