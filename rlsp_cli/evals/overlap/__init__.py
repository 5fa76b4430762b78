"""Training data against benches: exact match, n-gram overlap and near-duplicates.

docs/overlap.md has the rules and how well they find copies.
"""

from rlsp_cli.evals.overlap.check import check_overlap, refuse_overlap
from rlsp_cli.evals.overlap.contamination import (
    Contamination,
    contamination_notes,
    measure_contamination,
)
from rlsp_cli.evals.overlap.index import OverlapIndex
from rlsp_cli.evals.overlap.report import OverlapReport, compare_data
from rlsp_cli.evals.overlap.training_set import TrainingSet

__all__ = [
    "Contamination",
    "OverlapIndex",
    "OverlapReport",
    "TrainingSet",
    "check_overlap",
    "compare_data",
    "contamination_notes",
    "measure_contamination",
    "refuse_overlap",
]
