"""Responses whose steps have labels, which a process reward model learns."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.data.kept import kept
from rlsp_cli.data.row import Row
from rlsp_cli.data.source import source_rows
from rlsp_cli.errors import DataError
from rlsp_cli.outside import valid_text
from rlsp_cli.recipe.rows import StepRows

_UNLABELLED = -100
"""What trainers of token classifiers write for a position without a label."""


@dataclass(frozen=True)
class LabelledSteps:
    """A prompt and the steps of a response to it, with a label for each step.

    A label is the probability that the step is right, 0 or 1 where it is certain; None if unknown.
    `place` is for errors.
    """

    prompt: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    place: str = ""

    @property
    def text(self) -> str:
        """All that a model reads of it."""
        return "\n".join((self.prompt, *self.steps))

    @property
    def is_hard(self) -> bool:
        """Whether every label is 0, 1 or unknown."""
        return set(self.labels) <= {0.0, 1.0, None}


@kept
def step_rows(rows: StepRows, files: Sequence[str] = ()) -> Iterator[LabelledSteps]:
    """The labelled steps of a source; `files` are the recipe's plugin files.

    DataError names a row that lacks something, has an empty step, or another number of labels than
    of steps.
    """
    for row in source_rows(rows, files):
        steps = tuple(_step(row, rows.completions, step) for step in _list(row, rows.completions))
        labels = tuple(_label(row, rows.labels, label) for label in _list(row, rows.labels))
        if len(steps) != len(labels):
            raise DataError(f"{row.place}: {len(labels)} labels for {len(steps)} steps")
        yield LabelledSteps(row.text(rows.prompt), steps, labels, row.place)


def _list(row: Row, column: str) -> list[Any]:
    if column not in row.columns:
        raise DataError(f"{row.place}: no column {column!r}; its columns: {row.names}")

    found = row.columns[column]
    if not isinstance(found, list | tuple) or not found:
        kind = type(found).__name__
        raise DataError(f"{row.place}: column {column!r} holds {kind}, expected a list, not empty")
    return list(found)


def _step(row: Row, column: str, step: Any) -> str:
    if not isinstance(step, str) or not step.strip():
        raise DataError(f"{row.place}: column {column!r} holds {step!r}, expected texts of steps")
    return valid_text(step)


def _label(row: Row, column: str, label: Any) -> float | None:
    if label is None or label == _UNLABELLED:
        return None
    if isinstance(label, int | float) and math.isfinite(label) and 0 <= label <= 1:
        return float(label)
    raise DataError(
        f"{row.place}: column {column!r} holds {label!r}, expected true, false, or 0 to 1; "
        "null for a step without a label"
    )
