"""Tasks on this machine, several at a time, each a process that ends when we do."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from rlsp_cli.ablate.task import Task
from rlsp_cli.child.die_with_parent import end, spawn
from rlsp_cli.errors import SIGNAL_EXIT, NotReadyError, StoppedError
from rlsp_cli.launch.gpus import count_gpus
from rlsp_cli.launch.signals import catching_signals

_POLL_S = 0.2

Say = Callable[[str], None]


def run_tasks(tasks: Sequence[Task], at_a_time: int, gpus: int, say: Say) -> None:
    """Run tasks, each on `gpus` GPUs of its own; those that fail say so in their own folders.

    A first signal lets the running ones save and end, a second one kills their jobs; then
    StoppedError.
    """
    pool = _Pool(_places(at_a_time, gpus), say)
    waiting = deque(enumerate(tasks, 1))

    with catching_signals(pool.stop) as signals, closing(pool):
        while pool.running or (waiting and not signals):
            while waiting and pool.free and not signals:
                number, task = waiting.popleft()
                say(f"{number} of {len(tasks)}: {task.name}")
                pool.start(task)
            time.sleep(_POLL_S)
            pool.take_ended()

    if signals:
        raise StoppedError("stopped", signals[0])


class _Pool:
    """Places side by side, each with the variables of its task's environment."""

    def __init__(self, places: Sequence[Mapping[str, str]], say: Say) -> None:
        self.free = list(places)
        self.running: list[_Running] = []
        self._say = say

    def start(self, task: Task) -> None:
        place = self.free.pop(0)
        self.running.append(_Running(task, place, spawn(task.argv, place, task.log)))

    def take_ended(self) -> None:
        """Free the places of tasks that have ended."""
        for one in [one for one in self.running if one.child.poll() is not None]:
            self.running.remove(one)
            self.free.append(one.place)
            self._say(f"{one.task.name}: {_ended(one.child.returncode, one.task.log)}")

    def stop(self, _signal: int) -> None:
        """Ask all to save and end."""
        self._say("stopping, with checkpoints; again to kill")
        for one in self.running:
            one.child.terminate()

    def close(self) -> None:
        """End what is left."""
        for one in self.running:
            end(one.child)


def _ended(code: int, log: Path) -> str:
    if code > SIGNAL_EXIT:
        return "stopped"
    return f"failed; see {log}" if code else "done"


class _Running(NamedTuple):
    task: Task
    place: Mapping[str, str]
    child: "subprocess.Popen[bytes]"


def _places(at_a_time: int, gpus: int) -> list[dict[str, str]]:
    """The variables of the tasks that run side by side; NotReadyError with too few GPUs."""
    if at_a_time == 1:
        return [dict(os.environ)]

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else list(map(str, range(count_gpus())))
    if at_a_time * gpus > len(names):
        raise NotReadyError(
            f"{at_a_time} runs at a time want {at_a_time * gpus} GPUs, and this machine has "
            f"{len(names)}; lower --parallel"
        )

    # Each would otherwise take the first GPU, or all cores.
    threads = str(max(1, (os.cpu_count() or 1) // at_a_time))
    shared = {"OMP_NUM_THREADS": threads, **os.environ}
    if not gpus:
        return [shared] * at_a_time
    own = [",".join(names[place * gpus : (place + 1) * gpus]) for place in range(at_a_time)]
    return [{**shared, "CUDA_VISIBLE_DEVICES": devices} for devices in own]
