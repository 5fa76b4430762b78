"""Responses to score step by step, from a file that may give their steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlsp_cli.data.source import jsonl_rows
from rlsp_cli.errors import DataError
from rlsp_cli.outside import valid_text
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.rewards.step_scoring import Stepped


def read_stepped(path: Path) -> list[Stepped]:
    """The rows of a JSON Lines file: fields of `Sample`, with `response` or `steps`, or both.

    Of steps alone the response is these on lines of their own. DataError names the line.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file of responses")

    found = [_stepped(row.columns, row.place) for row in jsonl_rows(path)]
    if not found:
        raise DataError(f"{path}: no rows in this file")
    return found


def _stepped(row: Mapping[str, Any], place: str) -> Stepped:
    if row.get("steps") is None:
        if "response" not in row:
            keys = ", ".join(row)
            raise DataError(f"{place}: no key 'response' and no 'steps'; its keys: {keys}")
        return Stepped(as_sample(row, place))

    steps = row["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise DataError(f"{place}: steps holds {steps!r:.40}, expected a list of texts")

    texts = tuple(map(valid_text, steps))
    sample = as_sample({"response": "\n".join(texts), **row}, place)
    return Stepped(sample, texts)
