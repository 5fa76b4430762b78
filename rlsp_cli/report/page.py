"""The report as one HTML file that needs nothing else; whatever a model wrote is escaped."""

from collections.abc import Sequence

from rlsp_cli.report.behaviour import CAVEAT, group_table
from rlsp_cli.report.evaluation import accuracy_over_steps
from rlsp_cli.report.examples import Example
from rlsp_cli.report.plot import PPO_PLOTS, SFT_PLOTS, plots
from rlsp_cli.report.step import Step, keys_of, steps_of
from rlsp_cli.report.summary import Report
from rlsp_cli.share import share


def page(report: Report, examples: Sequence[Example]) -> str:
    """Render templates/report.html.j2."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(share("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    template = environment.get_template("report.html.j2")
    return template.render(
        report=report,
        tables=report.tables,
        figures=_figures(report),
        examples=examples,
        behaviour=group_table(report.behaviour) if report.behaviour else None,
        caveat=CAVEAT,
    )


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
