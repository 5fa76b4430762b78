"""Samples that are scored together: a single one, or all of a prompt if a reward compares them."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.combine import combine
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, SampleScore, Score


class _Judged(NamedTuple):
    sample: Sample
    verdict: Score
    parts: dict[int, Score]
    """Scores of the exploration rewards of a single sample, by their place in the recipe."""


class Group:
    """Scores each sample in a thread of the pool; the last one runs the rewards that compare."""

    def __init__(
        self, pool: Pool, exploration: Sequence[Use], reward: Reward, samples: Sequence[Sample]
    ) -> None:
        self._pool, self._reward, self._samples = pool, reward, samples
        self._alone = {n: use for n, use in enumerate(exploration) if not use.takes_group}
        self._comparing = {n: use for n, use in enumerate(exploration) if use.takes_group}
        self._left, self._lock = len(samples), threading.Lock()
        self._jobs: list[Future[_Judged]] = []

    def start(
        self,
        verdicts: Sequence[Callable[[], Score]],
        alphas: Sequence[float],
        futures: Sequence["Future[SampleScore]"],
    ) -> None:
        """Begin to score, which fulfils or fails the futures; blocks while the pool is full."""
        self._alphas, self._futures = alphas, futures

        # As running, they cannot be cancelled: a client that stops waiting for its sample must not
        # take the scores of the others along.
        for future in futures:
            future.set_running_or_notify_cancel()

        for sample, verdict in zip(self._samples, verdicts, strict=True):
            job = self._pool.submit(partial(self._judge, sample, verdict))
            self._jobs.append(job)
            job.add_done_callback(lambda _: self._count_down())

    def _judge(self, sample: Sample, verdict: Callable[[], Score]) -> _Judged:
        """The verdict, then the exploration rewards, which see it in the sample."""
        score = verdict()
        sample = replace(sample, correct=score.value, answer=score.answer)
        parts = {n: self._pool.run(Call(use, (sample,)))[0] for n, use in self._alone.items()}
        return _Judged(sample, score, parts)

    def _count_down(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return

        # This is the thread of the last job, so all results are there.
        try:
            scores = self._scores([job.result() for job in self._jobs])
        except Exception as error:  # or those who wait on the futures would wait for ever
            for future in self._futures:
                future.set_exception(error)
        else:
            for future, score in zip(self._futures, scores, strict=True):
                future.set_result(score)

    def _scores(self, judged: Sequence[_Judged]) -> list[SampleScore]:
        """The score of each sample, once the rewards that compare them have run."""
        samples = tuple(one.sample for one in judged)
        compared = {n: self._pool.run(Call(use, samples)) for n, use in self._comparing.items()}

        scores = []
        for row, (one, alpha) in enumerate(zip(judged, self._alphas, strict=True)):
            parts = one.parts | {n: column[row] for n, column in compared.items()}

            # In the recipe's order, which is that of the weights.
            in_order = [parts[n] for n in sorted(parts)]
            scores.append(combine(one.verdict, in_order, self._reward, alpha))
        return scores
