"""Write down what a model answers on a bench: each answer as it comes, scored meanwhile."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from rlsp_cli.data import Problem
from rlsp_cli.evals.answer import Answer, Scored, read_scored, read_waiting
from rlsp_cli.evals.samplers import Response
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import append_rows

Verify = Callable[[Sequence[Sample]], list[Score]]
"""Scores samples, and may take as long as a verifier's deadline."""

_THREADS = 64
"""Answers that wait for a score at once; how many processes score them is up to the verifier."""


class AnswerLog:
    """samples.jsonl of one model on one bench; a context manager.

    An answer goes into `waiting.jsonl` before it is scored, and into samples.jsonl with its score:
    a process that is killed loses neither. Leaving without an error waits for the last scores.
    """

    def __init__(
        self,
        paths: AnswerPaths,
        problems: Mapping[str, Problem],
        verify: Verify,
        prompt: Callable[[str], str],
    ) -> None:
        self.paths, self.problems, self.verify, self.prompt = paths, problems, verify, prompt
        self.done = {row.key for row in read_scored(paths.samples)}

        # A thread that waits for a verifier costs little; a sampler that waits leaves a GPU idle.
        self._scoring = ThreadPoolExecutor(_THREADS, thread_name_prefix="rlsp-verdicts")
        self._waiting: deque[tuple[Answer, Future[list[Score]]]] = deque()

    def __enter__(self) -> "AnswerLog":
        # An attempt that was killed may have left answers without a score.
        for answer in read_waiting(self.paths.waiting):
            if answer.key not in self.done:
                self._score(answer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._write(len(self._waiting))
            self.paths.waiting.unlink(missing_ok=True)

        # After an error nothing waits for a verifier: waiting.jsonl has what is not scored yet.
        self._scoring.shutdown(wait=False, cancel_futures=True)

    def add(self, problem: Problem, kind: str, index: int, response: Response) -> None:
        """Keep an answer, and write down those before it that have been scored."""
        answer = Answer(
            id=problem.id,
            kind=kind,
            index=index,
            response=response.text,
            problem=problem.problem,
            reference=problem.answer or "",
            num_tokens=response.num_tokens,
            truncated=response.truncated,
            scores=dict(response.scores),
            parent=problem.parent,
            other_tokens=response.other_tokens,
            turns=response.turns,
        )
        # Before it is scored: a response may have cost minutes, and a verifier can take the process
        # down.
        append_rows(self.paths.waiting, [answer.to_json()])
        self._score(answer)

        while self._waiting and self._waiting[0][1].done():
            self._write(1)

    def rows(self) -> list[Scored]:
        """All that is written down."""
        return list(read_scored(self.paths.samples))

    def _score(self, answer: Answer) -> None:
        self.done.add(answer.key)
        sample = answer.sample(self.problems[answer.id], self.prompt(answer.id))
        self._waiting.append((answer, self._scoring.submit(self.verify, [sample])))

    def _write(self, many: int) -> None:
        """The next rows with their scores; an error of the verifier's processes is raised here."""
        # In the order of the answers, so that an interrupted evaluation ends with the same file.
        taken = [self._waiting.popleft() for _ in range(many)]
        rows = [Scored.of(answer, future.result()[0]) for answer, future in taken]
        append_rows(self.paths.samples, [row.to_json() for row in rows])
