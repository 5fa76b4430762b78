"""The files of a report: report.json and report.html."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rlsp_cli.report.behaviour import behaviour_groups
from rlsp_cli.report.page import page
from rlsp_cli.report.summary import Report, summarise_run
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.run import Run, open_run
from rlsp_cli.runs.shapes import Scored
from rlsp_cli.runs.stream import read_rows, write_json, write_text

_MOST_RESPONSES = 2000
"""Responses of one model and bench in which behaviours are looked for; `rlsp behaviour` takes all."""


def write_report(root: Path) -> Report:
    """Write report.json and report.html of a run; returns the report."""
    run = open_run(root)
    groups = behaviour_groups(root, load_lexicon(run.recipe.reward.lexicon), most=_MOST_RESPONSES)
    report = replace(summarise_run(root), behaviour=groups)
    write_json(run.paths.report_json, {"schema": "rlsp.report/1", "data": report.to_json()})
    write_text(run.paths.report_html, page(report, _examples(run)))
    return report


def _examples(run: Run) -> list[dict[str, Any]]:
    """The same few problems of each bench, answered greedily by each model."""
    answers = run.paths.stage("eval").root.glob("*/*/samples.jsonl")
    found = []
    for samples in sorted(answers, key=lambda path: path.stat().st_mtime):
        greedy = [row for row in read_rows(samples, Scored) if row["kind"] == "greedy"][:3]
        found += [{"label": f"{samples.parent.parent.name} on {samples.parent.name}", **row} for row in greedy]
    return found
