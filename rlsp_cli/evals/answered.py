"""What a model answered on a bench, read back from the folder of its evaluation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.data import jsonl_rows
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.vote import Row
from rlsp_cli.outside import number_of
from rlsp_cli.runs.paths import AnswerPaths

_KEYS = {"id", "kind", "correctness"}


@dataclass(frozen=True)
class Answered:
    """Rows of one samples.jsonl; `made` is the protocol beside it, empty where there is none."""

    label: str
    bench: str
    rows: list[Row]
    made: dict[str, Any]


def answered(place: Path) -> list[Answered]:
    """One model's benches: from a run, `eval/<model>` in it, `eval/<model>/<bench>`, or a samples.jsonl file.

    UsageError when there is none, or more than one model.
    """
    if place.is_file():
        return [_read(place, place)]
    files = sorted(file for pattern in ("", "*/", "eval/*/*/") for file in place.glob(f"{pattern}samples.jsonl"))
    if not files:
        raise UsageError(f"{place}: no evaluation here; expected a run that has been evaluated, or a samples.jsonl")
    models = sorted({str(file.parent.parent) for file in files})
    if len(models) > 1:
        raise UsageError(f"{place}: {len(models)} models were evaluated here; name one: {', '.join(models)}")
    return [_read(place, file) for file in files]


def _read(place: Path, file: Path) -> Answered:
    rows = []
    for where, row in jsonl_rows(file):
        if not row.keys() >= _KEYS or not _is_score(row["correctness"]):
            raise DataError(f"{where}: no row of an evaluation; expected id, kind and correctness, which holds a value")
        rows.append(row)
    folder = file.absolute().parent
    return Answered(str(place), folder.name, rows, _made(AnswerPaths(folder)))


def _is_score(score: Any) -> bool:
    """Whether it holds the value of a verifier's score, a number or None."""
    value = score.get("value", "missing") if isinstance(score, dict) else "missing"
    return value is None or number_of(value) is not None


def _made(paths: AnswerPaths) -> dict[str, Any]:
    return dict(json.loads(paths.protocol.read_text(encoding="utf-8"))) if paths.protocol.exists() else {}
