"""What the reward service answered for steps that are not over, on disk: a service that dies loses nothing of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.service.openrlhf import Means
from rlsp_cli.runs.stream import read_rows, write_rows


@dataclass(frozen=True)
class Answer:
    """A sample with its score, and the reply to the request that had this number."""

    request: int | None
    sample: Sample
    score: SampleScore
    said: Any

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Answer":
        """From plain data."""
        return cls(row["request"], Sample(**row["sample"]), _score(row["score"]), row["said"])


@dataclass
class Rollout:
    """The answers that the trainer takes, and those that its filter left out."""

    taken: list[Answer]
    filtered: list[Answer]


class Answers:
    """Answers of the rollout that is being made (`open`), and the rollouts that are made but not trained on."""

    def __init__(self, path: Path) -> None:
        self.path, self.means = path, Means()
        self.open: list[Answer] = []
        self.made: dict[int, Rollout] = {}
        for row in read_rows(path):
            self._apply(row)
        write_rows(path, self._rows())  # without a last line that was cut off
        self._stream = path.open(
            "a", encoding="utf-8"
        )  # kept: opening it for each answer is slow on shared disks

    def add(self, answers: Sequence[Answer]) -> None:
        """Answers that belong to the open rollout."""
        self.open += answers
        self._append([{**answer.row(), "means": self.means.sums} for answer in answers])

    def complete(self, step: int, requests: Iterable[int]) -> None:
        """The open rollout is made of these; the others were filtered out."""
        row = {"rollout": step, "requests": list(requests)}
        self._apply(row)
        self._append([row])

    def forget(self, last: int) -> None:
        """The rollouts up to this step are trained on."""
        self.made = {step: rollout for step, rollout in self.made.items() if step > last}
        self._rewrite()

    def clear(self) -> None:
        """Nothing is under way."""
        self.open, self.made = [], {}
        self._rewrite()

    def close(self) -> None:
        """Nothing more is added."""
        self._stream.close()

    def _append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._stream.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
        self._stream.flush()

    def _rewrite(self) -> None:
        self._stream.close()
        write_rows(self.path, self._rows())
        self._stream = self.path.open("a", encoding="utf-8")

    def _apply(self, row: Mapping[str, Any]) -> None:
        if "means" in row:
            self.means = Means(row["means"])
        if "sample" in row:
            self.open.append(Answer.of(row))
        if "rollout" in row:
            named = set(row["requests"])
            parts = [
                [a for a in self.open if (a.request in named) is taken] for taken in (True, False)
            ]
            self.open, self.made[row["rollout"]] = [], Rollout(*parts)

    def _rows(self) -> Iterable[dict[str, Any]]:
        """What a later service has to read."""
        yield {"means": self.means.sums}
        for step, rollout in self.made.items():
            yield from (answer.row() for answer in (*rollout.taken, *rollout.filtered))
            yield {"rollout": step, "requests": [answer.request for answer in rollout.taken]}
        yield from (answer.row() for answer in self.open)


def _score(row: Mapping[str, Any]) -> SampleScore:
    streams = row["streams"]
    parts = tuple(Score(**part) for part in row["exploration"])
    return SampleScore(
        Score(**row["correctness"]), parts, row["reward"], tuple(streams) if streams else None
    )
