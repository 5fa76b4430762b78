"""Responses to score, from a file: a user's own, or the rollouts of a run."""

from collections.abc import Callable
from pathlib import Path

from rlsp_cli.data.source import jsonl_rows
from rlsp_cli.errors import DataError
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.rewards.sample import Sample


def read_samples(path: Path, count: Callable[[str], int] | None = None) -> list[Sample]:
    """The samples of a JSON Lines file: `response`, and any other field of `Sample`.

    `count` counts tokens where `num_tokens` is missing. DataError names the line.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file of responses")

    found = [as_sample(row.columns, row.place, count) for row in jsonl_rows(path)]
    if not found:
        raise DataError(f"{path}: no rows in this file")
    return found
