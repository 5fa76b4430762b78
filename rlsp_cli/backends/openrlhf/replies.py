"""What the reward service replied for steps that are not over.

It lies on disk, so that a service that dies loses nothing.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.service.openrlhf import Means
from rlsp_cli.runs.stream import read_rows, write_rows


@dataclass(frozen=True)
class Reply:
    """A sample with its score, and the body that was sent back to the request of this number."""

    request: int | None
    sample: Sample
    score: SampleScore
    body: Any

    def to_json(self) -> dict[str, Any]:
        """The row in replies.jsonl."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Reply":
        """From a row that `to_json` gave."""
        sample, score = Sample.from_json(row["sample"]), _score(row["score"])
        return cls(row["request"], sample, score, row["body"])


@dataclass(frozen=True)
class FilteredRollout:
    """The replies whose samples the trainer takes, and those that its filter leaves out."""

    taken: Sequence[Reply] = ()
    filtered: Sequence[Reply] = ()

    @property
    def replies(self) -> tuple[Reply, ...]:
        """All of them: a filtered sample was sampled and scored, too."""
        return (*self.taken, *self.filtered)


class Replies:
    """The file replies.jsonl, read and held.

    `current` are replies of the rollout that is being made, `made` the rollouts that wait for their
    training by step. Rows are appended as things happen, and the file is written anew, shorter,
    when a step is over. A row holds a reply with the running `means` after it, those means alone,
    or a `rollout` with the requests that its trainer takes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.means = path, Means()
        self.current: list[Reply] = []
        self.made: dict[int, FilteredRollout] = {}
        for row in read_rows(path):
            self._apply(row)

        write_rows(path, self._rows())  # without a last line that a crash cut short
        self._stream = self._opened()

    def add(self, replies: Sequence[Reply]) -> None:
        """Replies that belong to the current rollout."""
        self.current += replies
        self._append([{**reply.to_json(), "means": self.means.sums} for reply in replies])

    def complete(self, step: int, requests: Iterable[int]) -> None:
        """The current rollout is made of these requests; the trainer's filter left others out."""
        row = {"rollout": step, "requests": list(requests)}
        self._apply(row)
        self._append([row])

    def forget(self, last: int) -> None:
        """The rollouts up to step `last` are trained on."""
        self.made = {step: rollout for step, rollout in self.made.items() if step > last}
        self._rewrite()

    def clear(self) -> None:
        """Nothing is under way: training begins anew, or from a checkpoint."""
        self.current, self.made = [], {}
        self._rewrite()

    def close(self) -> None:
        """Nothing more is added."""
        self._stream.close()

    def _opened(self) -> TextIO:
        # Kept open: to open a file for each reply is slow on shared disks.
        return self.path.open("a", encoding="utf-8")

    def _append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._stream.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
        self._stream.flush()

    def _rewrite(self) -> None:
        self._stream.close()
        write_rows(self.path, self._rows())
        self._stream = self._opened()

    def _apply(self, row: Mapping[str, Any]) -> None:
        if "means" in row:
            self.means = Means(row["means"])
        if "sample" in row:
            self.current.append(Reply.from_json(row))
        if "rollout" in row:
            requests = set(row["requests"])
            taken = [reply for reply in self.current if reply.request in requests]
            filtered = [reply for reply in self.current if reply.request not in requests]
            self.current, self.made[row["rollout"]] = [], FilteredRollout(taken, filtered)

    def _rows(self) -> Iterator[dict[str, Any]]:
        """The shortest rows from which `_apply` makes the present state."""
        yield {"means": self.means.sums}
        for step, rollout in self.made.items():
            for reply in rollout.replies:
                yield reply.to_json()
            yield {"rollout": step, "requests": [reply.request for reply in rollout.taken]}
        for reply in self.current:
            yield reply.to_json()


def _score(row: Mapping[str, Any]) -> SampleScore:
    exploration = tuple(Score.from_row(part) for part in row["exploration"])
    streams = tuple(row["streams"]) if row["streams"] else None
    correctness = Score.from_row(row["correctness"])
    return SampleScore(correctness, exploration, row["reward"], streams)
