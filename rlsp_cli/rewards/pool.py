"""Plugins in processes that can be killed: only a kill stops an endless loop that holds the interpreter's lock.

Each worker serves one sample at a time. A sample that outlives its deadline, or that ends its process, costs itself
and a restart; every other sample is scored as usual. Threads wait on pipes, so the pool works from any thread.
"""

import json
import os
import queue
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.sample import Sample, Score

_START_S = 120.0
"""Time a worker may take to start and import: long, because a loaded machine is no fault of the plugin."""


@dataclass(frozen=True)
class Use:
    """A plugin with its options, as the worker is told of it."""

    kind: str
    reference: str
    options: dict[str, Any]
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The component's name in scores and metrics: the function's."""
        return self.reference.rpartition(":")[2]


class Pool:
    """`count` workers that score samples with `uses`; a context manager."""

    def __init__(self, uses: Sequence[Use], count: int, timeout_s: float, memory_gb: float) -> None:
        self.timeout_s = timeout_s
        setup = {"memory_bytes": int(memory_gb * 2**30), "plugins": [asdict(use) for use in uses]}
        self._workers: queue.LifoQueue[Worker] = queue.LifoQueue()
        for _ in range(count):
            self._workers.put(Worker(json.dumps(setup)))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="rlsp-scoring")

    def map(self, calls: Sequence[tuple[Use, Sample]]) -> list[Score]:
        """Score every call, in order."""
        return list(self._threads.map(self._score, calls))

    def close(self) -> None:
        """End all workers."""
        self._threads.shutdown(cancel_futures=True)
        while not self._workers.empty():
            self._workers.get().kill()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _score(self, call: tuple[Use, Sample]) -> Score:
        use, sample = call
        worker = self._workers.get()
        try:
            return worker.score(use, sample, self.timeout_s)
        finally:
            self._workers.put(worker)


class Worker:
    """One process; started when first needed and after each death."""

    def __init__(self, setup: str) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def score(self, use: Use, sample: Sample, timeout_s: float) -> Score:
        """The outcome of one plugin on one sample, after at most `timeout_s` and a restart."""
        self._start()
        began = time.monotonic()
        try:
            self._send(json.dumps({"plugin": asdict(use), "sample": asdict(sample)}))
            reply = self._receive(timeout_s)
        except TimeoutError:
            reply = {"outcome": "timeout", "reason": f"no result after {timeout_s:g} s"}
            self.kill()
        except (EOFError, BrokenPipeError):
            reply = {"outcome": "error", "reason": f"the plugin ended its process ({self._end()})"}
        reply.setdefault("ms", round((time.monotonic() - began) * 1000, 3))
        return Score(component=use.name, **reply)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _start(self) -> None:
        if self._process is not None:
            return
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlsp_cli.rewards.worker"],  # -P: a file here must not shadow a library
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        self._unread = b""
        try:
            self._send(self._setup)
            ready = self._receive(_START_S)
        except (EOFError, BrokenPipeError, TimeoutError) as error:
            self.kill()
            raise PluginError(
                f"a scoring process could not start ({type(error).__name__}); is reward.memory_gb too low?"
            ) from error
        if not ready["ready"]:
            self.kill()
            raise PluginError(ready["reason"])

    def _send(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        """The next line of the process; TimeoutError or EOFError."""
        assert self._process is not None and self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._process.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not readable:
                raise TimeoutError
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise EOFError
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _end(self) -> str:
        """Wait for the process, close its pipes; how it ended, in words."""
        assert self._process is not None
        process, self._process = self._process, None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"
