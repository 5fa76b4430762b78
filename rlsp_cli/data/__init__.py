"""Rows for training and evaluation: from files, the hub, or procedural tasks."""

from rlsp_cli.data.cases import audit_cases
from rlsp_cli.data.rows import (
    Problem,
    Trace,
    Turn,
    jsonl_rows,
    problems_of,
    prompt_rows,
    source_digest,
    source_rows,
    trace_rows,
    training_rows,
)
from rlsp_cli.data.samples import read_samples

__all__ = [
    "Problem",
    "Trace",
    "Turn",
    "audit_cases",
    "jsonl_rows",
    "problems_of",
    "prompt_rows",
    "read_samples",
    "source_digest",
    "source_rows",
    "trace_rows",
    "training_rows",
]
