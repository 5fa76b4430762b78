"""One scoring process, as its parent sees it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rlsp_cli.errors import PluginError
from rlsp_cli.outside import read_json
from rlsp_cli.rewards.sample import Sample, Score

_START_S = 120.0
"""Time a process may take to start and import: long, because a busy machine is not the plugin's fault."""
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}
"""A plugin may print whatever text it is given."""
_LONGEST_REPLY = 256 << 20
"""Bytes of a reply."""


@dataclass(frozen=True)
class Use:
    """A plugin with its options, as it is sent to the process; `digest` is that of its source."""

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

    def __init__(self, words: str, signal_number: int | None = None) -> None:
        super().__init__(words)
        self.signal_number = signal_number

    @property
    def by_others(self) -> bool:
        """Whether it may be no fault of the sample that was being scored: the system kills who takes its memory."""
        return self.signal_number == signal.SIGKILL


class StrayAnswerError(ProcessDiedError):
    """The process wrote something unasked, so it is no longer known which answer belongs to which sample."""

    by_others = True


class Worker:
    """A process, started but not yet ready to score; `is_fit` is False once it should score no more."""

    def __init__(self) -> None:
        self.served, self.is_fit, self._unread = 0, True, b""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "rlsp_cli.rewards.worker",
            ],  # -P: a file here must not shadow a library
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
            bufsize=0,
            process_group=0,  # with all that a plugin forks
        )

    def prepare(self, uses: Sequence[Use], memory_gb: float) -> None:
        """Load the plugins: it is ready to score when this returns.

        PluginError when a plugin cannot be loaded or cannot work here, ProcessDiedError or
        TimeoutError when the process did not come up.
        """
        setup = {"memory_bytes": int(memory_gb * 2**30), "uses": [asdict(use) for use in uses]}
        ready = self._ask(setup, _START_S)
        if not ready["ready"]:
            raise PluginError(ready["reason"])

    def score(self, call: Call, timeout_s: float) -> list[Score]:
        """One score for each sample. TimeoutError and ProcessDiedError leave a process that is of no more use."""
        self.served += 1
        reply = self._ask(
            {"use": asdict(call.use), "samples": [asdict(s) for s in call.samples]}, timeout_s
        )
        self.is_fit = reply["fit"]
        return [
            Score(component=call.use.name, ms=reply["ms"], **outcome)
            for outcome in reply["outcomes"]
        ]

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process and what it started, from any thread; a thread that waits for it gets ProcessDiedError."""
        if self._process.returncode is None:  # afterwards its number may be another's
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill the process, wait for it and close its pipes; its return code."""
        self.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def _ask(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a line and read the one that answers it; TimeoutError or ProcessDiedError."""
        request, deadline = uuid.uuid4().hex, time.monotonic() + timeout_s
        self._refuse_unasked()
        try:
            self._write(json.dumps({"id": request, **message}).encode() + b"\n", deadline)
            line = self._read_line(deadline)
        except BrokenPipeError as error:
            raise self._death(deadline) from error

        try:
            reply: dict[str, Any] = read_json(line)
            if reply["id"] == request:
                return reply
        except (ValueError, TypeError, LookupError):
            pass
        raise StrayAnswerError(f"it said {line[:40]!r}, which is no answer")

    def _refuse_unasked(self) -> None:
        assert self._process.stdout is not None
        if self._unread or select.select([self._process.stdout], [], [], 0)[0]:
            raise StrayAnswerError("it said something before it was asked")

    def _read_line(self, deadline: float) -> bytes:
        """The next line without its end; BrokenPipeError when none will come."""
        assert self._process.stdout is not None
        parts, newline = [self._unread], b""
        while not newline:
            self._wait_for([self._process.stdout], [], deadline)
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise BrokenPipeError
            if len(parts) << 16 > _LONGEST_REPLY:
                raise ProcessDiedError(f"its answer is longer than {_LONGEST_REPLY >> 20} MiB")
            part, newline, self._unread = chunk.partition(b"\n")
            parts.append(part)
        return b"".join(parts)

    def _death(self, deadline: float) -> ProcessDiedError:
        """Why nothing came; TimeoutError when the process has closed its pipes and lives on."""
        try:
            code = self._process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError("no answer in time") from error
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # what it forked is of no use without it
        return (
            ProcessDiedError(signal.Signals(-code).name, -code)
            if code < 0
            else ProcessDiedError(f"exit code {code}")
        )

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
