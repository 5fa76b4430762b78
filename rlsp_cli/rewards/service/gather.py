"""Gather samples that arrive one by one into batches, and into groups where a reward compares."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.rewards.sample import Sample, SampleScore

Submit = Callable[[Sequence[Sample]], list["Future[SampleScore]"]]
_Key = tuple[str, str]


class Gathered(NamedTuple):
    """A score, and whether the sample was scored with all of its group."""

    score: SampleScore
    is_whole: bool


@dataclass
class _Waiting:
    sample: Sample
    submitted: "asyncio.Future[Future[SampleScore]]"
    is_whole: bool = True


_Group = list[_Waiting]


class BusyError(Exception):
    """Too many samples are in work; the client is to try again later."""


class Gatherer:
    """Passes samples to `submit` in batches, and answers each as soon as it is scored.

    Samples are passed on at once, or in groups of `group_size` to one prompt; a group that is
    incomplete after `wait_s` seconds goes as it is. What comes meanwhile makes the next batch. At
    most `backlog` samples are in work; more are refused with BusyError. Belongs to one event loop.
    """

    def __init__(self, submit: Submit, group_size: int, wait_s: float, backlog: int) -> None:
        self.submit, self.group_size = submit, group_size
        self.wait_s, self.backlog = wait_s, backlog
        self.in_work = self.incomplete = self.batches = 0

        # `submit` blocks while the pool's queue is full, which the event loop must not.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rlsp-service")
        self._groups: dict[_Key, _Group] = {}
        self._next: list[_Waiting] = []
        self._handing_on: asyncio.Task[None] | None = None

    async def score(self, samples: Sequence[Sample]) -> list[Gathered]:
        """Scores in order; BusyError when there is no room for all of them."""
        if self.in_work + len(samples) > self.backlog:
            raise BusyError
        self.in_work += len(samples)
        try:
            return list(await asyncio.gather(*[self._score(sample) for sample in samples]))
        finally:
            self.in_work -= len(samples)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(cancel_futures=True)

    async def _score(self, sample: Sample) -> Gathered:
        waiting = _Waiting(sample, asyncio.get_running_loop().create_future())
        self._join(waiting)

        # Shielded: a client that hangs up must not cancel what others of the batch wait for.
        score = await asyncio.wrap_future(await asyncio.shield(waiting.submitted))
        return Gathered(score, waiting.is_whole)

    def _join(self, waiting: _Waiting) -> None:
        """Wait for the rest of the group, whose first sample sets the deadline."""
        key = waiting.sample.group
        group = self._groups.setdefault(key, [])
        group.append(waiting)
        if len(group) >= self.group_size:
            self._release(key)
        elif len(group) == 1:
            asyncio.get_running_loop().call_later(self.wait_s, self._release_late, key, group)

    def _release_late(self, key: _Key, group: _Group) -> None:
        # By then another group may be waiting under this key.
        if self._groups.get(key) is group:
            self.incomplete += 1
            for waiting in group:
                waiting.is_whole = False
            self._release(key)

    def _release(self, key: _Key) -> None:
        self._next.extend(self._groups.pop(key))
        if self._handing_on is None or self._handing_on.done():
            self._handing_on = asyncio.get_running_loop().create_task(self._hand_on())

    async def _hand_on(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next:
            batch, self._next = self._next, []
            self.batches += 1
            samples = [waiting.sample for waiting in batch]

            try:
                scores = await loop.run_in_executor(self._thread, self.submit, samples)
            except Exception as error:  # or the requests would wait for ever
                for waiting in batch:
                    waiting.submitted.set_exception(error)
            else:
                for waiting, score in zip(batch, scores, strict=True):
                    waiting.submitted.set_result(score)
