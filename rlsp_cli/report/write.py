"""The files of a report: report.json and report.html."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlsp_cli.evals.answer import GREEDY, Scored, read_scored
from rlsp_cli.evals.behaviour import behaviour_groups
from rlsp_cli.evals.metrics import of_kind
from rlsp_cli.report.page import page
from rlsp_cli.report.summary import Report, summarise_run
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.run import Run, open_run
from rlsp_cli.runs.stream import write_json, write_text

_MOST_RESPONSES = 2000
"""Responses of one model and bench in which behaviours are looked for; `rlsp behaviour` takes all."""


_SHOWN = 3
"""Problems of each bench whose answers are shown."""


def write_report(root: Path) -> Report:
    """Write report.json and report.html of a run; returns the report."""
    run = open_run(root)
    groups = behaviour_groups(root, load_lexicon(run.recipe.reward.lexicon), most=_MOST_RESPONSES)
    report = replace(summarise_run(root), behaviour=groups)
    write_json(run.paths.report_json, {"schema": "rlsp.report/1", "data": report.to_json()})
    write_text(run.paths.report_html, page(report, _examples(run)))
    return report


def _examples(run: Run) -> list[dict[str, Any]]:
    """The first problems of each bench, each with what every model answered greedily."""
    files = sorted(
        run.paths.stage("eval").root.glob("*/*/samples.jsonl"),
        key=lambda path: path.stat().st_mtime,
    )
    problems: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for samples in files:
        model, bench = samples.parent.parent.name, samples.parent.name
        greedy = sorted(of_kind(read_scored(samples), GREEDY), key=_place)[:_SHOWN]
        for row in greedy:
            problems.setdefault((bench, row.id), []).append(
                {"model": model, "bench": bench, **row.to_json()}
            )
    return [{**answers[0], "answers": answers} for answers in problems.values()]


def _place(row: Scored) -> list[tuple[int, str]]:
    """Sorts ids as a person does: p9 before p10. Rows lie in the order in which they were answered."""
    parts = re.split(r"0*(\d+)", row.id)
    return [(len(part) if part.isdecimal() else 0, part) for part in parts]
