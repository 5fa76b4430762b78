"""Reports: what a run's files say, as numbers, tables, plots and one page."""

from rlsp_cli.report.summary import Report, summarise_run
from rlsp_cli.report.write import write_report

__all__ = ["Report", "summarise_run", "write_report"]
