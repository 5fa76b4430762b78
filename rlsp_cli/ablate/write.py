"""The files of an ablation's report: report.json, report.md and report.html."""

from rlsp_cli.ablate.ablation import Ablation
from rlsp_cli.ablate.page import page
from rlsp_cli.ablate.report import AblationReport, summarise_ablation
from rlsp_cli.runs.stream import write_json, write_text


def write_report(ablation: Ablation) -> AblationReport:
    """Write the files, of the runs that are done; returns the report."""
    report, paths = summarise_ablation(ablation), ablation.paths
    write_json(paths.report_json, {"schema": "rlsp.ablate/1", "data": report.to_json()})
    write_text(paths.report_markdown, report.to_markdown())
    write_text(paths.report_html, page(ablation, report))
    return report
