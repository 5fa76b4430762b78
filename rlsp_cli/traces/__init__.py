"""Make traces for SFT, with a data card; pairs and starts; try prompts; remove benches' problems from rows.

`make.py` has the order of the steps. To add a filter, write a function in `filters.py` and call it
there.
"""

from rlsp_cli.traces.card import DataCard
from rlsp_cli.traces.clean import Cleaned, clean_rows
from rlsp_cli.traces.criteria import CriteriaJob, Written, write_criteria
from rlsp_cli.traces.handbook import Drawn, HandbookJob, draw_handbook
from rlsp_cli.traces.job import TraceJob
from rlsp_cli.traces.keys import (
    ColumnSettings,
    HandbookSettings,
    PairSettings,
    StartSettings,
    TraceSettings,
)
from rlsp_cli.traces.make import make_traces
from rlsp_cli.traces.pairs import PairJob, make_pairs
from rlsp_cli.traces.roll import Rolled, RollJob, roll_prompts
from rlsp_cli.traces.starts import StartJob, make_starts
from rlsp_cli.traces.tally import Tally

__all__ = [
    "Cleaned",
    "ColumnSettings",
    "CriteriaJob",
    "DataCard",
    "Drawn",
    "HandbookJob",
    "HandbookSettings",
    "PairJob",
    "PairSettings",
    "RollJob",
    "Rolled",
    "StartJob",
    "StartSettings",
    "Tally",
    "TraceJob",
    "TraceSettings",
    "Written",
    "clean_rows",
    "draw_handbook",
    "make_pairs",
    "make_starts",
    "make_traces",
    "roll_prompts",
    "write_criteria",
]
