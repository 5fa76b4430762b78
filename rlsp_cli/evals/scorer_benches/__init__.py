"""Benches for scorers: labelled responses that measure a step scorer or a reward, without a model."""

from rlsp_cli.evals.scorer_benches.bench_file import (
    ScorerBenchFile,
    find_scorer_bench,
    is_scorer_bench,
    shipped_scorer_benches,
)
from rlsp_cli.evals.scorer_benches.measured import check_measured
from rlsp_cli.evals.scorer_benches.responses import Labelled, read_labelled
from rlsp_cli.evals.scorer_benches.run import (
    ScorerResult,
    measure_scorer,
    refuse_threshold,
    score_responses,
    write_result,
)

__all__ = [
    "Labelled",
    "ScorerBenchFile",
    "ScorerResult",
    "check_measured",
    "find_scorer_bench",
    "is_scorer_bench",
    "measure_scorer",
    "read_labelled",
    "refuse_threshold",
    "score_responses",
    "shipped_scorer_benches",
    "write_result",
]
