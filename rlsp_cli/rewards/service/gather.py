"""Samples that arrive one by one, scored: alone at once, or together with the others of their prompt."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from rlsp_cli.rewards.sample import Sample, SampleScore

Score = Callable[[Sequence[Sample]], list[SampleScore]]
_Key = tuple[str, str]
_Group = list[tuple[Sample, "asyncio.Future[SampleScore]"]]

_THREADS = 256
"""Requests that wait for the pool at once; threads, because scoring blocks."""


class BusyError(Exception):
    """So many samples wait that more would only wait longer."""


class Gatherer:
    """Calls `score` for groups of `group_size` samples of one prompt, or for what has come after `wait_s` seconds.

    At most `backlog` samples are in work; more are refused with BusyError. Belongs to one event loop.
    """

    def __init__(self, score: Score, group_size: int, wait_s: float, backlog: int) -> None:
        self.score_now, self.group_size, self.wait_s, self.backlog = score, group_size, wait_s, backlog
        self.in_work = self.incomplete = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rlsp-service")
        self._groups: dict[_Key, _Group] = {}

    async def score(self, samples: Sequence[Sample]) -> list[SampleScore]:
        """Scores in order; BusyError when there is no room for all of them."""
        if self.in_work + len(samples) > self.backlog:
            raise BusyError
        self.in_work += len(samples)
        try:
            if self.group_size == 1:
                return await self._in_thread(samples)
            return list(await asyncio.gather(*[self._join(sample) for sample in samples]))
        finally:
            self.in_work -= len(samples)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(cancel_futures=True)

    def _join(self, sample: Sample) -> "asyncio.Future[SampleScore]":
        """Wait for the others of the prompt; the first of them sets the deadline."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[SampleScore] = loop.create_future()
        group = self._groups.setdefault(sample.group, [])
        group.append((sample, future))
        if len(group) == 1:
            loop.call_later(self.wait_s, self._release_late, sample.group, group)
        if len(group) >= self.group_size:
            self._release(sample.group)
        return future

    def _release_late(self, key: _Key, group: _Group) -> None:
        if self._groups.get(key) is group:
            self.incomplete += 1
            self._release(key)

    def _release(self, key: _Key) -> None:
        group = self._groups.pop(key)
        done = self._in_thread([sample for sample, _ in group])
        done.add_done_callback(lambda done: _hand_out(done, [future for _, future in group]))

    def _in_thread(self, samples: Sequence[Sample]) -> "asyncio.Future[list[SampleScore]]":
        return asyncio.get_running_loop().run_in_executor(self._threads, self.score_now, samples)


def _hand_out(done: "asyncio.Future[list[SampleScore]]", futures: Sequence["asyncio.Future[SampleScore]"]) -> None:
    """Give each waiting request its score, or the error; one that has gone away gets nothing."""
    for i, future in enumerate(futures):
        if future.done():
            continue
        if done.cancelled():
            future.cancel()
        elif (error := done.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result()[i])
