"""The first problems of each bench, with what every model answered."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.evals.answer import GREEDY, Scored, read_scored
from rlsp_cli.evals.metrics import of_kind
from rlsp_cli.runs.run import Run

_SHOWN = 3
"""Problems of each bench whose answers are shown."""


@dataclass(frozen=True)
class Example:
    """A problem of a bench, and each model's greedy answer to it as (model, answer)."""

    bench: str
    id: str
    reference: str
    problem: str
    answers: Sequence[tuple[str, Scored]]


def first_examples(run: Run) -> list[Example]:
    """The first problems of each bench; models are in the order in which they were evaluated."""
    # By the time of the file, since models are evaluated one after the other.
    files = sorted(
        run.paths.stage("eval").root.glob("*/*/samples.jsonl"),
        key=lambda path: path.stat().st_mtime,
    )
    answers: dict[tuple[str, str], list[tuple[str, Scored]]] = {}
    for file in files:
        model, bench = file.parent.parent.name, file.parent.name
        greedy = sorted(of_kind(read_scored(file), GREEDY), key=_place)
        for row in greedy[:_SHOWN]:
            answers.setdefault((bench, row.id), []).append((model, row))

    examples = []
    for (bench, id), found in answers.items():
        _, row = found[0]
        examples.append(Example(bench, id, row.reference, row.problem, found))
    return examples


def _place(row: Scored) -> list[tuple[int, str]]:
    """A key that sorts ids as a person does: p9 before p10."""
    # Rows are in the order in which they were answered, which differs from model to model.
    parts = re.split(r"0*(\d+)", row.id)
    return [(len(part) if part.isdecimal() else 0, part) for part in parts]
