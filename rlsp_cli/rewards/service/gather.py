"""Samples that arrive one by one, handed on in batches: whatever came meanwhile, and groups when they are complete."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from rlsp_cli.rewards.sample import Sample, SampleScore

Submit = Callable[[Sequence[Sample]], list["Future[SampleScore]"]]
_Key = tuple[str, str]
_Waiting = tuple[Sample, "asyncio.Future[Future[SampleScore]]"]
_Group = list[_Waiting]


class BusyError(Exception):
    """So many samples wait that more would only wait longer."""


class Gatherer:
    """Hands samples to `submit` in batches, and answers each as soon as it is scored.

    Samples go on at once, or in groups of `group_size` of one prompt, or as many of them as have come after `wait_s`
    seconds. What comes while a batch is handed on makes the next one. At most `backlog` samples are in work; more are
    refused with BusyError. Belongs to one event loop.
    """

    def __init__(self, submit: Submit, group_size: int, wait_s: float, backlog: int) -> None:
        self.submit, self.group_size, self.wait_s, self.backlog = submit, group_size, wait_s, backlog
        self.in_work = self.incomplete = self.batches = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rlsp-service")  # it waits when the pool is full
        self._groups: dict[_Key, _Group] = {}
        self._next: list[_Waiting] = []
        self._handing_on: asyncio.Task[None] | None = None

    async def score(self, samples: Sequence[Sample]) -> list[SampleScore]:
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

    async def _score(self, sample: Sample) -> SampleScore:
        submitted: asyncio.Future[Future[SampleScore]] = asyncio.get_running_loop().create_future()
        self._join((sample, submitted))
        return await asyncio.wrap_future(await asyncio.shield(submitted))

    def _join(self, waiting: _Waiting) -> None:
        """Wait for the others of the prompt; the first of them sets the deadline."""
        key = waiting[0].group
        group = self._groups.setdefault(key, [])
        group.append(waiting)
        if len(group) >= self.group_size:
            self._release(key)
        elif len(group) == 1:
            asyncio.get_running_loop().call_later(self.wait_s, self._release_late, key, group)

    def _release_late(self, key: _Key, group: _Group) -> None:
        if self._groups.get(key) is group:
            self.incomplete += 1
            self._release(key)

    def _release(self, key: _Key) -> None:
        self._next.extend(self._groups.pop(key))
        if self._handing_on is None or self._handing_on.done():
            self._handing_on = asyncio.get_running_loop().create_task(self._hand_on())

    async def _hand_on(self) -> None:
        while self._next:
            batch, self._next = self._next, []
            self.batches += 1
            samples = [sample for sample, _ in batch]
            try:
                scores = await asyncio.get_running_loop().run_in_executor(self._thread, self.submit, samples)
            except Exception as error:  # whoever waits must hear of it, whatever it was
                for _, waits in batch:
                    waits.set_exception(error)
            else:
                for (_, waits), score in zip(batch, scores, strict=True):
                    waits.set_result(score)
