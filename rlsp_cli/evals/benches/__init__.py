"""Benches: problems with reference answers, and how each is asked, drawn and judged."""

from rlsp_cli.evals.benches.bench import Bench
from rlsp_cli.evals.benches.bench_file import BenchFile, Sampling, find_bench, shipped_benches
from rlsp_cli.evals.benches.benches import Benches
from rlsp_cli.evals.benches.check import check_benches
from rlsp_cli.evals.benches.probe import probed

__all__ = [
    "Bench",
    "BenchFile",
    "Benches",
    "Sampling",
    "check_benches",
    "find_bench",
    "probed",
    "shipped_benches",
]
