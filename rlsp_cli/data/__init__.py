"""Rows for training and evaluation: from files, the hub, or procedural tasks."""

from rlsp_cli.data.cases import audit_cases
from rlsp_cli.data.conversation import Turn
from rlsp_cli.data.kept import Streamed, forget_rows
from rlsp_cli.data.labelled_steps import LabelledSteps, step_rows
from rlsp_cli.data.mixture import Mixture, recipe_problems, recipe_traces
from rlsp_cli.data.preference import Preference, preference_rows
from rlsp_cli.data.problem import PARENT, Problem, problems_of, prompt_rows
from rlsp_cli.data.row import Row
from rlsp_cli.data.row_function import RowFunction
from rlsp_cli.data.samples import read_samples
from rlsp_cli.data.source import jsonl_rows, source_digest, source_rows
from rlsp_cli.data.stepped import read_stepped
from rlsp_cli.data.trace import Trace, trace_rows, training_rows

__all__ = [
    "PARENT",
    "LabelledSteps",
    "Mixture",
    "Preference",
    "Problem",
    "Row",
    "RowFunction",
    "Streamed",
    "Trace",
    "Turn",
    "audit_cases",
    "forget_rows",
    "jsonl_rows",
    "preference_rows",
    "problems_of",
    "prompt_rows",
    "read_samples",
    "read_stepped",
    "recipe_problems",
    "recipe_traces",
    "source_digest",
    "source_rows",
    "step_rows",
    "trace_rows",
    "training_rows",
]
