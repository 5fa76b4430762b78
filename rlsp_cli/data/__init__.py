"""Rows for training and evaluation: from files, the hub, or procedural tasks."""

from rlsp_cli.data.rows import Problem, Trace, jsonl_rows, prompt_rows, source_digest, trace_rows

__all__ = ["Problem", "Trace", "jsonl_rows", "prompt_rows", "source_digest", "trace_rows"]
