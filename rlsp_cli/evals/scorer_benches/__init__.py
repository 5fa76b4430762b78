"""Benches for scorers: labelled responses that measure a step scorer or a reward, without a model."""

from rlsp_cli.evals.scorer_benches.bench_file import (
    ScorerBenchFile,
    find_scorer_bench,
    is_scorer_bench,
    shipped_scorer_benches,
)
from rlsp_cli.evals.scorer_benches.measured import check_measured
from rlsp_cli.evals.scorer_benches.responses import Labelled, read_labelled, where_labelled
from rlsp_cli.evals.scorer_benches.run import (
    ScorerResult,
    measure_scorer,
    refuse_threshold,
    score_responses,
    write_result,
)
from rlsp_cli.evals.scorer_benches.score_log import bench_folder

__all__ = [
    "Labelled",
    "ScorerBenchFile",
    "ScorerResult",
    "bench_folder",
    "check_measured",
    "find_scorer_bench",
    "is_scorer_bench",
    "measure_scorer",
    "read_labelled",
    "refuse_threshold",
    "score_responses",
    "shipped_scorer_benches",
    "where_labelled",
    "write_result",
]
