"""Work for one model: what waits together is done together, in one thread."""

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Do = Callable[[Sequence[Any]], Sequence[Any]]
"""From tasks that are alike to a result of each."""


@dataclass(frozen=True)
class Job:
    """A task, the function that does it, and its result to be.

    Jobs whose `alike` is equal are done by one call.
    """

    alike: Hashable
    do: Do
    task: Any
    future: "Future[Any]" = field(default_factory=Future)


class Batches:
    """Does jobs, those that are alike at once. A model's memory is so used by one call at a time."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Job] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, alike: Hashable, do: Do, task: Any) -> "Future[Any]":
        """The result to be; a future that is cancelled before its turn costs nothing."""
        job = Job(alike, do, task)
        self._waiting.put(job)
        return job.future

    def _work(self) -> None:
        while True:
            for jobs in _sorted([self._waiting.get(), *self._others()]):
                # Who asked may have given up meanwhile.
                wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
                if wanted:
                    _do(wanted)

    def _others(self) -> list[Job]:
        """Everything else that waits."""
        found = []
        while not self._waiting.empty():
            found.append(self._waiting.get())
        return found


def _sorted(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that are alike, together, in the order of the first of each."""
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.alike, []).append(job)
    return list(groups.values())


def _do(jobs: Sequence[Job]) -> None:
    """Do jobs that are alike; an error is that of all of them."""
    try:
        results = jobs[0].do([job.task for job in jobs])
    except Exception as error:  # noqa: BLE001 (it is the requests', and the next may go well)
        for job in jobs:
            job.future.set_exception(error)
        return

    for job, result in zip(jobs, results, strict=True):
        job.future.set_result(result)
