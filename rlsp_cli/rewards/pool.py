"""Plugins in processes that can be killed: only a kill stops an endless loop that holds the interpreter's lock.

Each process serves one call at a time. A call that outlives its deadline, or that ends its process,
costs itself and a spare process that is ready; every other call is scored as usual. Threads wait on
pipes, so the pool works from any thread; a forked child gets processes of its own.
"""

import os
import queue
import signal
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.process import Call, ProcessDiedError, Use, Worker
from rlsp_cli.rewards.sample import Score

T = TypeVar("T")

_SPARES = 1
"""Processes that are ready beyond those that score: a start takes a second or more."""
_RECYCLE_AFTER = 5000
"""Calls after which a process is replaced, so that what plugins leak does not grow for ever."""
_GIVE_UP_S = 120.0
"""Seconds without a process that came up after which killed ones are not started anew."""
_TRIES = 3
"""Processes that a sample may cost, since what kills them may be the sample after all."""
_BACKLOG = 4096
"""Jobs that may wait; a thread that submits more waits."""


class Pool:
    """`count` processes that score calls with `uses`; a context manager."""

    def __init__(
        self,
        uses: Sequence[Use],
        count: int,
        timeout_s: float,
        memory_gb: float,
        recycle_after: int = _RECYCLE_AFTER,
        backlog: int = _BACKLOG,
    ) -> None:
        self.uses, self.count, self.timeout_s, self.memory_gb = (
            tuple(uses),
            count,
            timeout_s,
            memory_gb,
        )
        self.recycle_after, self.backlog = recycle_after, backlog
        self._reset()
        self._start()

        # Threads do not survive a fork, and the processes are the parent's.
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (renew := reset()) and renew())  # type: ignore[func-returns-value]

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        """Do a job, which calls `run`, in a scoring thread some time; waits first when too many jobs wait already."""
        self._start()

        places = self._places
        places.acquire()
        future = self._scoring.submit(job)
        future.add_done_callback(lambda _: places.release())
        return future

    def run(self, call: Call) -> list[Score]:
        """One score for each sample of a call; from a job, so that no more calls than processes are under way.

        Where the process may be at fault, and not the sample, others try again, in the call's time.
        """
        left = limit = call.use.timeout_s or self.timeout_s
        for tries_left in reversed(range(_TRIES)):
            worker, began = self._take(), time.monotonic()
            try:
                scores = worker.score(call, left)
                again = not worker.is_fit and any(score.failed for score in scores)
            except TimeoutError:
                scores = _failed(call, "timeout", f"no result after {limit:g} s", began)
                worker.is_fit = again = False
            except ProcessDiedError as error:
                scores = _failed(call, "error", f"the plugin ended its process ({error})", began)
                worker.is_fit, again = False, error.by_others
            self._give_back(worker)

            left -= time.monotonic() - began
            if not again or left <= 0 or self._closed or not tries_left:
                break
        return scores

    def map(self, calls: Sequence[Call]) -> list[list[Score]]:
        """Score every call, in order: a list for each, with one score for each of its samples."""
        return [
            future.result() for future in [self.submit(partial(self.run, call)) for call in calls]
        ]

    def pids(self) -> list[int]:
        """The processes that are alive."""
        return [worker.pid for worker in self._workers()]

    def close(self) -> None:
        """End all processes at once."""
        self._closed = True
        self._starting.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers():
            worker.kill()
        self._starting.shutdown()

        self._ready.put(PluginError("the pool was closed"))
        self._scoring.shutdown(cancel_futures=True)
        for worker in self._workers():
            self._end(worker)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        """Threads and processes of our own, none of them started."""
        self._ready: queue.Queue[Worker | PluginError] = queue.Queue()
        self._alive: set[Worker] = set()
        self._lock = threading.Lock()
        self._started = self._closed = False
        self._came_up = time.monotonic()
        self._places = threading.Semaphore(self.backlog)
        self._scoring = ThreadPoolExecutor(self.count, thread_name_prefix="rlsp-scoring")

        # These threads last as long as the pool: Linux kills a process when the thread that started
        # it ends.
        self._starting = ThreadPoolExecutor(
            self.count + _SPARES, thread_name_prefix="rlsp-starting"
        )

    def _start(self) -> None:
        """Start the processes, once."""
        with self._lock:
            if self._started:
                return
            self._started = True

        for _ in range(self.count + _SPARES):
            self._starting.submit(self._offer_new)

    def _offer_new(self) -> None:
        """Start a process and offer it; a failure is offered too, for the next call to raise."""
        try:
            self._ready.put(self._new())
        except PluginError as error:
            self._ready.put(error)
        except (
            Exception
        ) as error:  # the call that waits for a process must hear of it, whatever it was
            self._ready.put(
                PluginError(f"a scoring process could not start ({type(error).__name__}: {error})")
            )

    def _new(self) -> Worker:
        """A process that is ready. One that is killed while it starts is started again, unless none comes up."""
        while True:
            worker = Worker()
            with self._lock:
                self._alive.add(worker)
            try:
                worker.prepare(self.uses, self.memory_gb)
            except PluginError:
                self._end(worker)
                raise
            except (ProcessDiedError, TimeoutError) as error:
                self._end(worker)
                if not self._may_try_again(error):
                    reason = (
                        f"a scoring process could not start ({error}); is reward.memory_gb too low?"
                    )
                    raise PluginError(reason) from error
            else:
                self._came_up = time.monotonic()
                return worker

    def _may_try_again(self, error: ProcessDiedError | TimeoutError) -> bool:
        was_killed = isinstance(error, ProcessDiedError) and error.signal_number == signal.SIGKILL
        return was_killed and not self._closed and time.monotonic() - self._came_up <= _GIVE_UP_S

    def _take(self) -> Worker:
        """A process that is ready; one that has died meanwhile is replaced."""
        while True:
            found = self._ready.get()
            if isinstance(found, PluginError):
                self._ready.put(found)  # for the others
                raise found
            if found.is_alive:
                return found
            self._replace(found)

    def _give_back(self, worker: Worker) -> None:
        if worker.is_fit and worker.served < self.recycle_after:
            self._ready.put(worker)
        else:
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        if not self._closed:
            self._starting.submit(self._offer_new)
        self._end(worker)

    def _end(self, worker: Worker) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)

    def _workers(self) -> list[Worker]:
        with self._lock:
            return list(self._alive)


def _failed(call: Call, outcome: str, reason: str, began: float) -> list[Score]:
    ms = round((time.monotonic() - began) * 1000, 3)
    return [Score(call.use.name, outcome, reason=reason, ms=ms) for _ in call.samples]  # type: ignore[arg-type]
