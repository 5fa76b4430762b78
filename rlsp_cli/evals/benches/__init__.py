"""Benches: problems with reference answers, and how each is asked, drawn and judged."""

from rlsp_cli.evals.benches.bench import (
    Bench,
    bench_names,
    bench_prompts,
    bench_protocol,
    check_benches,
    content_digest,
    load_bench,
)
from rlsp_cli.evals.benches.bench_file import DRAWN, BenchFile, Protocol, find_bench, shipped_benches

__all__ = [
    "DRAWN",
    "Bench",
    "BenchFile",
    "Protocol",
    "bench_names",
    "bench_prompts",
    "bench_protocol",
    "check_benches",
    "content_digest",
    "find_bench",
    "load_bench",
    "shipped_benches",
]
