"""The report as one HTML file that needs nothing else; whatever a model wrote is escaped."""

from typing import Any

from rlsp_cli.report.behaviour import CAVEAT, group_table
from rlsp_cli.report.evaluation import accuracy_over_steps
from rlsp_cli.report.plot import PPO_PLOTS, SFT_PLOTS, plots
from rlsp_cli.report.summary import Report
from rlsp_cli.share import share


def page(report: Report, examples: list[dict[str, Any]]) -> str:
    """Render templates/report.html.j2."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(share("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    steps = accuracy_over_steps(report.evaluation)
    benches = {f"Accuracy on {bench} over steps": [f"{bench}/*"] for bench in _benches(steps)}
    figures = [
        *plots(steps, benches),
        *plots(_counted(report.ppo), PPO_PLOTS),
        *plots(_counted(report.sft), SFT_PLOTS),
    ]
    template = environment.get_template("report.html.j2")
    words = group_table(report.behaviour) if report.behaviour else None
    return template.render(
        report=report,
        tables=report.tables,
        figures=figures,
        examples=examples,
        behaviour=words,
        caveat=CAVEAT,
    )


def _counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl with their steps counted from 1, as everywhere that a person looks."""
    return [{**row, "step": row["step"] + 1} for row in rows]


def _benches(rows: list[dict[str, Any]]) -> list[str]:
    """Benches of rows whose keys are `BENCH/DECODING`, beside `step`."""
    benches: dict[str, None] = {}
    for row in rows:
        benches |= dict.fromkeys(key.rpartition("/")[0] for key in row if key != "step")
    return list(benches)
