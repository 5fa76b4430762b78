"""The files of a report: report.json, report.html, and the cards of the models."""

from dataclasses import replace
from pathlib import Path

from rlsp_cli.evals.behaviour import behaviour_groups
from rlsp_cli.report.card import write_cards
from rlsp_cli.report.examples import first_examples
from rlsp_cli.report.page import page
from rlsp_cli.report.summary import Report, summarise_run
from rlsp_cli.report.trees import tree_pictures
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.stream import write_json, write_text

_MOST_RESPONSES = 2000
"""Responses per model and bench that are searched for behaviours; `rlsp behaviour` takes all."""


def write_report(root: Path) -> Report:
    """Write report.json, report.html and the models' cards of a run; returns the report."""
    run = open_run(root)
    groups = behaviour_groups(root, load_lexicon(run.recipe.reward.lexicon), most=_MOST_RESPONSES)
    report = replace(summarise_run(root), behaviour=groups)

    write_json(run.paths.report_json, {"schema": "rlsp.report/1", "data": report.to_json()})
    write_text(run.paths.report_html, page(report, first_examples(run), list(tree_pictures(run))))
    write_cards(run, report)
    return report
