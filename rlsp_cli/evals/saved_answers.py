"""What a model answered on a bench, read back from the folder of its evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.answer import Scored, read_scored
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.shapes import JudgedRow
from rlsp_cli.runs.stream import read_json

_LAST = ("ppo", "sft")
"""Models that a run trains, the last one first."""


@dataclass(frozen=True)
class SavedAnswers:
    """Rows of one samples.jsonl; `made` is the protocol beside it, empty where there is none."""

    label: str
    bench: str
    rows: Sequence[Scored]
    made: Mapping[str, Any]


def read_answers(place: Path) -> list[SavedAnswers]:
    """What one model answered on each bench.

    `place` is a run, `eval/<model>` in it, `eval/<model>/<bench>`, or a samples.jsonl file. Of a
    run with several models it is the one that training ended with. UsageError when there is no
    evaluation, or when it is not known which model is the last.
    """
    if place.is_file():
        return [_read(place, place)]

    files = _samples(place)
    if not files:
        raise UsageError(
            f"{place}: no evaluation here; "
            "expected a run that has been evaluated, or a samples.jsonl"
        )

    models = sorted({file.parent.parent for file in files})
    if len(models) == 1:
        return [_read(place, file) for file in files]

    # A training run stands for the policy that it ended with.
    for name in _LAST:
        for model in models:
            if model.name == name:
                return read_answers(model)

    names = ", ".join(map(str, models))
    raise UsageError(f"{place}: {len(models)} models were evaluated here; name one: {names}")


def short_names(a: str, b: str) -> dict[str, str]:
    """Two places by what tells them apart: the last part of their paths in which they differ."""
    parts, others = Path(a).parts, Path(b).parts
    if parts == others:
        return {Path(a).name: a}

    # From the end: runs/a/eval/base and runs/b/eval/base are told apart by a and b.
    for part, other in zip(reversed(parts), reversed(others), strict=False):
        if part != other:
            return {part: a, other: b}

    # One path is the end of the other, and no part tells them apart.
    return {parts[-1]: a, others[-1]: b}


def _samples(folder: Path) -> list[Path]:
    """The samples.jsonl of a bench's folder, of a model's, or of a run's."""
    files: list[Path] = []
    for pattern in ("samples.jsonl", "*/samples.jsonl", "eval/*/*/samples.jsonl"):
        files += folder.glob(pattern)
    return sorted(files)


def _read(place: Path, file: Path) -> SavedAnswers:
    rows = list(read_scored(file, JudgedRow))
    folder = file.absolute().parent
    return SavedAnswers(str(place), folder.name, rows, _made(AnswerPaths(folder)))


def _made(paths: AnswerPaths) -> Mapping[str, Any]:
    # A samples.jsonl that was copied away has no protocol beside it.
    return read_json(paths.protocol) if paths.protocol.exists() else {}
