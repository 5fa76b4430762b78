"""Responses to label, from a file of rows, or from a recipe's traces."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlsp_cli.data import Row, source_rows, trace_rows
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.traces.labels.solution import Solution, Split

_NAMES = {
    "prompt": ("prompt", "problem"),
    "response": ("response", "solution"),
    "reference": ("reference", "answer"),
    "id": ("id",),
    "metadata": ("metadata",),
    "truncated": ("truncated",),
}
"""A sample's field, and the columns that may hold it, the first one first."""


def file_samples(path: Path, recipe: Recipe) -> Iterator[tuple[str, Sample]]:
    """Each response of a file with its place; DataError names a row that lacks something.

    Rows have `prompt`, the text that a model continues, or `problem`, which the recipe's template
    makes a prompt of; `response` or `solution`; and `reference` or `answer`.
    """
    for row in source_rows(Rows(source=str(path))):
        yield row.place, as_sample(_columns(row, recipe.data), row.place)


def trace_samples(recipe: Recipe) -> Iterator[tuple[str, Sample]]:
    """Each of the recipe's traces with its place."""
    for source in recipe.data.trace_sources:
        for number, trace in enumerate(trace_rows(source, recipe.plugins)):
            prompt = recipe.data.ask(trace.prompt)
            yield f"{source.source}:{number}", Sample(prompt, trace.response, trace.answer)


def as_solutions(samples: Sequence[tuple[str, Sample]], split: Split) -> list[Solution]:
    """The samples with their steps; those without an id have that of their place in the order."""
    found = []
    for number, (place, sample) in enumerate(samples):
        own = sample if sample.id else replace(sample, id=str(number))
        found.append(Solution(place, own, tuple(split(sample.response))))
    return found


def _columns(row: Row, data: Data) -> dict[str, Any]:
    """A row's columns under the names of a sample's fields; the others are its metadata."""
    used = {field: _given(row, names) for field, names in _NAMES.items()}
    columns = {field: row.columns[name] for field, name in used.items() if name}

    if used["prompt"] is None:
        raise DataError(f"{row.place}: no prompt and no problem; its columns: {row.names}")
    if used["prompt"] == "problem":
        columns["prompt"] = data.ask(row.text("problem"))

    if "metadata" not in columns:
        columns["metadata"] = row.plain(without={name for name in used.values() if name})
    return columns


def _given(row: Row, names: Sequence[str]) -> str | None:
    return next((name for name in names if row.columns.get(name) is not None), None)
