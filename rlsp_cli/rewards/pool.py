"""Workers, which run plugins in processes: only a kill stops an endless loop that holds the GIL.

Each worker takes one call at a time. A call that misses its deadline, or ends its worker, costs
that worker, which a spare one replaces at once; no other call notices. Threads wait on pipes, so
the pool works from any thread; a forked child starts workers of its own.
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
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.process import ProcessDiedError, WorkerProcess
from rlsp_cli.rewards.sample import Outcome, Score

T = TypeVar("T")

_SPARES = 1
"""Workers that are ready beyond those in use: a start takes a second or more."""
_RECYCLE_AFTER = 5000
"""Calls after which a worker is replaced, so that what plugins leak stays bounded."""
_GIVE_UP_S = 120.0
"""Seconds without a new worker after which killed ones are no longer started again."""
_TRIES = 3
"""Workers that a call may cost, since it may be what kills them after all."""
_BACKLOG = 4096
"""Jobs that may be queued before `submit` blocks."""


class Pool:
    """`count` workers that run calls of `uses`, which can ask `models`; a context manager."""

    def __init__(
        self,
        uses: Sequence[Use],
        count: int,
        timeout_s: float,
        memory_gb: float,
        recycle_after: int = _RECYCLE_AFTER,
        backlog: int = _BACKLOG,
        models: Addresses = NO_MODELS,
    ) -> None:
        self.uses, self.count, self.models = tuple(uses), count, models
        self.timeout_s, self.memory_gb = timeout_s, memory_gb
        self.recycle_after, self.backlog = recycle_after, backlog
        self._reset()
        self._start()

        # Threads do not survive a fork, and the workers stay the parent's. The weak reference lets
        # a pool be freed, as no handler can be taken back.
        reset = weakref.WeakMethod(self._reset)

        def renew() -> None:
            if alive := reset():
                alive()

        os.register_at_fork(after_in_child=renew)

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        """Queue a job that calls `run`; blocks while the queue is full."""
        self._start()  # once more in a forked child

        places = self._places
        places.acquire()
        future = self._scoring.submit(job)
        future.add_done_callback(lambda _: places.release())
        return future

    def run(self, call: Call) -> list[Score]:
        """One score for each sample of a call; to be called from a job alone.

        Where the worker may be at fault, another one tries again in the time that is left.
        """
        left = limit = call.use.timeout_s or self.timeout_s
        for tries_left in reversed(range(_TRIES)):
            # The clock starts once there is a worker: no call pays for the start of one.
            worker, began = self._take(), time.monotonic()
            try:
                scores = worker.run(call, left)
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
        """The scores of every call, in order: a list for each, with one score for each sample."""
        futures = [self.submit(partial(self.run, call)) for call in calls]
        return [future.result() for future in futures]

    def pids(self) -> list[int]:
        """Process ids of all workers."""
        return [worker.pid for worker in self._workers()]

    def close(self) -> None:
        """End all workers at once."""
        # Kills first: a thread that waits for a worker, or for one to start, gets its answer.
        self._closed = True
        self._starting.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers():
            worker.kill()
        self._starting.shutdown()

        # Wakes the threads that wait for a worker to be free.
        self._ready.put(PluginError("the pool was closed"))
        self._scoring.shutdown(cancel_futures=True)
        for worker in self._workers():
            self._end(worker)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        """New threads and no workers, as at the beginning."""
        self._ready: queue.Queue[WorkerProcess | PluginError] = queue.Queue()
        self._alive: set[WorkerProcess] = set()
        self._lock = threading.Lock()
        self._started = self._closed = False
        self._came_up = time.monotonic()
        self._places = threading.Semaphore(self.backlog)
        self._scoring = ThreadPoolExecutor(self.count, thread_name_prefix="rlsp-scoring")

        # They last as long as the pool: Linux delivers a worker's parent-death signal when the
        # thread that started it ends.
        self._starting = ThreadPoolExecutor(
            self.count + _SPARES, thread_name_prefix="rlsp-starting"
        )

    def _start(self) -> None:
        """Start the workers, once."""
        with self._lock:
            if self._started:
                return
            self._started = True

        for _ in range(self.count + _SPARES):
            self._starting.submit(self._offer_new)

    def _offer_new(self) -> None:
        """Start a worker and offer it; a failure is offered too, for the next call to raise."""
        try:
            self._ready.put(self._new())
        except PluginError as error:
            self._ready.put(error)
        except Exception as error:  # or the calls that wait for a worker would wait for ever
            words = f"a scoring process could not start ({type(error).__name__}: {error})"
            self._ready.put(PluginError(words))

    def _new(self) -> WorkerProcess:
        """A worker that is ready; one that is killed at its start is started again, for a while."""
        while True:
            worker = WorkerProcess()
            with self._lock:
                self._alive.add(worker)
            try:
                worker.prepare(self.uses, self.memory_gb, self.models)
            except PluginError:
                self._end(worker)
                raise
            except (ProcessDiedError, TimeoutError) as error:
                self._end(worker)
                if not self._may_try_again(error):
                    words = f"a scoring process could not start ({error})"
                    raise PluginError(f"{words}; is reward.memory_gb too low?") from error
            else:
                self._came_up = time.monotonic()
                return worker

    def _may_try_again(self, error: ProcessDiedError | TimeoutError) -> bool:
        # Short of memory, Linux kills; the other workers may give some back meanwhile.
        was_killed = isinstance(error, ProcessDiedError) and error.signal_number == signal.SIGKILL
        return was_killed and not self._closed and time.monotonic() - self._came_up <= _GIVE_UP_S

    def _take(self) -> WorkerProcess:
        """A worker that is ready; one that has died meanwhile is replaced."""
        while True:
            found = self._ready.get()
            if isinstance(found, PluginError):
                self._ready.put(found)  # for the other threads that wait
                raise found

            if found.is_alive:
                return found
            self._replace(found)

    def _give_back(self, worker: WorkerProcess) -> None:
        if worker.is_fit and worker.served < self.recycle_after:
            self._ready.put(worker)
        else:
            self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        # The new one first: ending the old one may take a while.
        if not self._closed:
            self._starting.submit(self._offer_new)
        self._end(worker)

    def _end(self, worker: WorkerProcess) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)

    def _workers(self) -> list[WorkerProcess]:
        with self._lock:
            return list(self._alive)


def _failed(call: Call, outcome: Outcome, reason: str, began: float) -> list[Score]:
    """A score without a value for each sample of a call."""
    ms = round((time.monotonic() - began) * 1000, 3)
    return [Score(call.use.name, outcome, reason=reason, ms=ms) for _ in call.samples]
