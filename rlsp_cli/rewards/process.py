"""One scoring process, as its parent sees it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.sample import Sample, Score

_START_S = 120.0
"""Time a process may take to start and import: long, because a loaded machine is no fault of the plugin."""


@dataclass(frozen=True)
class Use:
    """A plugin with its options, as the process is told of it; `digest` is that of its source."""

    kind: str
    reference: str
    options: dict[str, Any]
    files: tuple[str, ...] = ()
    takes_group: bool = False
    digest: str = ""
    timeout_s: float | None = None

    @property
    def name(self) -> str:
        """The component's name in scores and metrics: the function's."""
        return self.reference.rpartition(":")[2]


class Call(NamedTuple):
    """A plugin and the sample to score, or all samples of a prompt when it takes a group."""

    use: Use
    samples: tuple[Sample, ...]


class ProcessDiedError(Exception):
    """The process is of no more use: it ended by itself (`signal_number` None), was killed, or talks nonsense."""

    def __init__(self, words: str, signal_number: int | None) -> None:
        super().__init__(words)
        self.signal_number = signal_number


class Worker:
    """A process, started but not yet ready to score."""

    def __init__(self) -> None:
        self.served, self._unread = 0, b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rlsp_cli.rewards.worker"],  # -P: a file here must not shadow a library
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"},
            bufsize=0,
        )

    def prepare(self, uses: Sequence[Use], memory_gb: float) -> None:
        """Load the plugins: it is ready to score when this returns.

        PluginError when a plugin cannot be loaded, ProcessDiedError or TimeoutError when the process did not come up.
        """
        setup = {"memory_bytes": int(memory_gb * 2**30), "uses": [asdict(use) for use in uses]}
        ready = self._ask(setup, _START_S)
        if not ready["ready"]:
            raise PluginError(ready["reason"])

    def score(self, call: Call, timeout_s: float) -> list[Score]:
        """One score for each sample. TimeoutError and ProcessDiedError leave a process that is of no more use."""
        self.served += 1
        reply = self._ask({"use": asdict(call.use), "samples": [asdict(s) for s in call.samples]}, timeout_s)
        return [Score(component=call.use.name, ms=reply["ms"], **outcome) for outcome in reply["outcomes"]]

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process, from any thread; whoever waits for its answer gets ProcessDiedError."""
        self._process.kill()

    def end(self) -> int:
        """Kill the process, wait for it and close its pipes; its return code."""
        self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def _ask(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a line and read one; TimeoutError or ProcessDiedError."""
        assert self._process.stdin is not None and self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        try:
            self._write(json.dumps(message).encode() + b"\n", deadline)
            while b"\n" not in self._unread:
                self._wait_for([self._process.stdout], [], deadline)
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise BrokenPipeError
                self._unread += chunk
        except BrokenPipeError as error:
            code = self._process.wait()
            words = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise ProcessDiedError(words, -code if code < 0 else None) from error
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise ProcessDiedError(f"it answered {line[:40]!r}", None) from error
        return reply

    def _write(self, data: bytes, deadline: float) -> None:
        """Write it all, however little of it the process takes at once; a stopped process must not block us."""
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        os.set_blocking(pipe, False)
        view = memoryview(data)
        while view:
            self._wait_for([], [pipe], deadline)
            view = view[os.write(pipe, view[: 1 << 16]) :]

    @staticmethod
    def _wait_for(readable: list[Any], writable: list[Any], deadline: float) -> None:
        """Until one of them is ready; TimeoutError at the deadline."""
        ready = select.select(readable, writable, [], max(deadline - time.monotonic(), 0))
        if not (ready[0] or ready[1]):
            raise TimeoutError("no answer in time")
