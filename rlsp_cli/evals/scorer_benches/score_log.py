"""scores.jsonl: the score of each response as it comes, so that a bench goes on where it was killed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.provenance import keep
from rlsp_cli.evals.scorer_benches.responses import Labelled
from rlsp_cli.rewards.sample import Score
from rlsp_cli.runs.run import RUNS, free_folder
from rlsp_cli.runs.stream import append_rows, read_rows, write_rows

_MADE = "asked.json"
"""The file with all that the scores depend on."""


class _Row(BaseModel):
    """What is read of a row of the file."""

    number: int
    outcome: str
    value: float | None


class ScoreLog:
    """The scores that a folder has of responses, by their place among them.

    `made` is all that the scores depend on; DataError if the folder has those of another scorer, or
    of other responses. A failed response has no score: a server may have been away.
    """

    def __init__(
        self, folder: Path, responses: Sequence[Labelled], made: Mapping[str, Any]
    ) -> None:
        keep(folder / _MADE, made, "scores")
        self.path, self.responses = folder / "scores.jsonl", responses
        self.scores: dict[int, Score] = {}
        for row in read_rows(self.path, _Row):
            score = Score.from_row(row)
            if not score.failed:
                self.scores[row["number"]] = score

    @property
    def missing(self) -> list[int]:
        """The places of the responses that have no score yet."""
        return [number for number in range(len(self.responses)) if number not in self.scores]

    def add(self, number: int, score: Score) -> None:
        """Keep how a response was scored."""
        self.scores[number] = score
        append_rows(self.path, [self._row(number)])

    def close(self) -> list[Score]:
        """The scores of all responses, in whose order they are in the file from now on."""
        numbers = range(len(self.responses))
        write_rows(self.path, map(self._row, numbers))
        return [self.scores[number] for number in numbers]

    def _row(self, number: int) -> dict[str, Any]:
        response = self.responses[number]
        labels = {"first_error": response.first_error, "right": response.right}
        named = {"number": number, "id": response.id, "subset": response.subset}
        return {**named, **labels, **self.scores[number].to_row()}


def bench_folder(bench: str, out: Path | None, resume: bool) -> Path:
    """`out`, or a new folder in runs/scorer-BENCH; with `resume` one that has scores, the newest there.

    UsageError where `out` is used, or where there is nothing to resume.
    """
    if not resume:
        return free_folder(f"scorer-{bench}", out)

    folders = [out] if out else sorted((RUNS / f"scorer-{bench}").glob("*"))
    begun = [folder for folder in folders if (folder / _MADE).exists()]
    if not begun:
        raise UsageError(f"{out or RUNS / f'scorer-{bench}'}: no measurement here to resume")
    return begun[-1].absolute()
