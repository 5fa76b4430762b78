"""What a model answered on a bench, written down: each answer as it comes, and scored while others are made."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from rlsp_cli.data import Problem
from rlsp_cli.evals.samplers import Response
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.shapes import Answer, Scored
from rlsp_cli.runs.stream import append_rows, read_rows

Verify = Callable[[Sequence[Sample]], list[Score]]
Key = tuple[str, str, int]
"""Problem id, kind (`greedy` or `sample`), index."""
_THREADS = 64
"""Answers that wait for a verdict at once; its processes are the verifier's own affair."""


class AnswerLog:
    """samples.jsonl of one model on one bench; a context manager.

    An answer goes into `waiting.jsonl` before it is scored, and into samples.jsonl with its score: a process that is
    killed loses neither. Leaving without an error waits for the last scores.
    """

    def __init__(
        self, paths: AnswerPaths, problems: Mapping[str, Problem], verify: Verify, prompt: Callable[[str], str]
    ) -> None:
        self.paths, self.problems, self.verify, self.prompt = paths, problems, verify, prompt
        self.done = {_key(row) for row in read_rows(paths.samples, Scored)}
        self._scoring = ThreadPoolExecutor(_THREADS, thread_name_prefix="rlsp-verdicts")
        self._waiting: deque[tuple[dict[str, Any], Future[list[Score]]]] = deque()

    def __enter__(self) -> "AnswerLog":
        for row in read_rows(self.paths.waiting, Answer):
            if _key(row) not in self.done:
                self._score(row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write(len(self._waiting))
            self.paths.waiting.unlink(missing_ok=True)
        self._scoring.shutdown(wait=False, cancel_futures=True)

    def add(self, problem: Problem, kind: str, index: int, response: Response) -> None:
        """Keep an answer, and write down those before it that have been scored."""
        row = {"id": problem.id, "kind": kind, "index": index, **_row(problem, response)}
        append_rows(self.paths.waiting, [row])
        self._score(row)
        while self._waiting and self._waiting[0][1].done():
            self._write(1)

    def rows(self) -> list[dict[str, Any]]:
        """All that is written down, with scores."""
        return list(read_rows(self.paths.samples))

    def _score(self, row: dict[str, Any]) -> None:
        self.done.add(_key(row))
        sample = sample_of(row, self.problems[row["id"]], self.prompt(row["id"]))
        self._waiting.append((row, self._scoring.submit(self.verify, [sample])))

    def _write(self, many: int) -> None:
        """The next rows with their scores; an error of the verifier's processes is raised here."""
        taken = [self._waiting.popleft() for _ in range(many)]
        append_rows(self.paths.samples, [_scored(row, future.result()[0]) for row, future in taken])


def sample_of(row: Mapping[str, Any], problem: Problem, prompt: str, reference: str | None = None) -> Sample:
    """A row as the verifier sees it, with another `reference` than the problem's if one is given."""
    return Sample(
        prompt=prompt,
        response=row["response"],
        reference=problem.answer if reference is None else reference,
        id=problem.id,
        metadata=problem.metadata,
        num_tokens=row["num_tokens"],
        truncated=row["truncated"],
    )


def _row(problem: Problem, response: Response) -> dict[str, Any]:
    return {
        "response": response.text,
        "problem": problem.problem,
        "reference": problem.answer,
        "num_tokens": response.num_tokens,
        "truncated": response.truncated,
        **({"scores": dict(response.scores)} if response.scores else {}),
    }


def _scored(row: dict[str, Any], score: Score) -> dict[str, Any]:
    return {**row, "correctness": score.to_row()}


def _key(row: Mapping[str, Any]) -> Key:
    return row["id"], row["kind"], row["index"]
