"""A worker as its parent sees it: a process to ask, to wait for, and to kill."""

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
from dataclasses import asdict
from typing import Any

from rlsp_cli.errors import PluginError
from rlsp_cli.outside import read_json
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.models import Addresses
from rlsp_cli.rewards.sample import Score

_START_S = 120.0
"""Time to start and to import: long, because a busy machine is not the plugin's fault."""
_ENVIRONMENT = {
    # Several workers share the cores; each with a thread for every core would slow down all.
    "OMP_NUM_THREADS": "1",
    "DO_NOT_TRACK": "1",
    # A plugin may print a response, and with it half of a surrogate pair.
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}
_LONGEST_REPLY = 256 << 20
"""Bytes of a reply."""
_CHUNK = 1 << 16
"""Bytes that are read or written at once: what a pipe holds on Linux."""
_QUOTED = 40
"""Bytes of a stray line that its error shows."""


class ProcessDiedError(Exception):
    """The worker ended by itself (`signal_number` is None), was killed, or broke the protocol."""

    def __init__(self, words: str, signal_number: int | None = None) -> None:
        super().__init__(words)
        self.signal_number = signal_number

    @property
    def by_others(self) -> bool:
        """Whether the sample may be innocent: short of memory, Linux kills any process it likes."""
        return self.signal_number == signal.SIGKILL


class StrayAnswerError(ProcessDiedError):
    """The worker wrote something unasked, so no later line can be matched to its sample."""

    by_others = True


class WorkerProcess:
    """A worker, started but not yet ready; `is_fit` is False once it should run nothing more."""

    def __init__(self) -> None:
        self.served, self.is_fit, self._unread = 0, True, b""
        self._process = subprocess.Popen(
            # -P: a file in the working directory must not shadow a library.
            [sys.executable, "-P", "-m", "rlsp_cli.rewards.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
            bufsize=0,
            process_group=0,  # a kill takes along what a plugin has forked
        )

    def prepare(self, uses: Sequence[Use], memory_gb: float, models: Addresses) -> None:
        """Load the plugins, which can ask `models`; the worker is ready when this returns.

        PluginError when a plugin cannot be loaded or cannot work here, ProcessDiedError or
        TimeoutError when the process did not start.
        """
        setup = {
            "memory_bytes": int(memory_gb * 2**30),
            "uses": [use.to_json() for use in uses],
            "models": dict(models),
        }
        ready = self._ask(setup, _START_S)
        if not ready["ready"]:
            raise PluginError(ready["reason"])

    def run(self, call: Call, timeout_s: float) -> list[Score]:
        """One score for each sample. After TimeoutError or ProcessDiedError, end the worker."""
        self.served += 1
        samples = [asdict(sample) for sample in call.samples]
        request = {"use": call.use.to_json(), "samples": samples, "steps": call.steps}
        reply = self._ask(request, timeout_s)

        self.is_fit = reply["fit"]
        known = {"component": call.use.name, "ms": reply["ms"]}
        return [Score.from_row(known | outcome) for outcome in reply["outcomes"]]

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process and all that it started; a thread that waits gets ProcessDiedError."""
        # Once it has been waited for, its number may belong to another process.
        if self._process.returncode is None:
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
        # Random, so that a plugin cannot write the answer to a later sample ahead of time.
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
            pass  # as bad as an answer to another request
        raise StrayAnswerError(f"it wrote {line[:_QUOTED]!r}, which is not an answer")

    def _refuse_unasked(self) -> None:
        assert self._process.stdout is not None
        if self._unread or select.select([self._process.stdout], [], [], 0)[0]:
            raise StrayAnswerError("it wrote something before it was asked")

    def _read_line(self, deadline: float) -> bytes:
        """The next line without its end; BrokenPipeError when none will come."""
        assert self._process.stdout is not None
        parts, newline = [self._unread], b""
        while not newline:
            self._wait_for([self._process.stdout], [], deadline)
            chunk = os.read(self._process.stdout.fileno(), _CHUNK)
            if not chunk:
                raise BrokenPipeError

            # Counted in chunks: a plugin that writes a byte at a time ends sooner, at no loss.
            if len(parts) * _CHUNK > _LONGEST_REPLY:
                raise ProcessDiedError(f"its answer is longer than {_LONGEST_REPLY >> 20} MiB")

            part, newline, self._unread = chunk.partition(b"\n")
            parts.append(part)
        return b"".join(parts)

    def _death(self, deadline: float) -> ProcessDiedError:
        """Why no answer came; TimeoutError when the process closed its pipes but has not ended."""
        try:
            code = self._process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError("no answer in time") from error

        # What it has forked would live on, and compute in vain.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

        if code < 0:
            return ProcessDiedError(signal.Signals(-code).name, -code)
        return ProcessDiedError(f"exit code {code}")

    def _write(self, data: bytes, deadline: float) -> None:
        """Write everything by the deadline, however slowly the process reads."""
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()

        # A stopped process must not block this thread once the pipe is full.
        os.set_blocking(pipe, False)
        view = memoryview(data)
        while view:
            self._wait_for([], [pipe], deadline)
            view = view[os.write(pipe, view[:_CHUNK]) :]

    @staticmethod
    def _wait_for(readable: list[Any], writable: list[Any], deadline: float) -> None:
        """Wait until one of them is ready; TimeoutError at the deadline."""
        ready = select.select(readable, writable, [], max(deadline - time.monotonic(), 0))
        if not (ready[0] or ready[1]):
            raise TimeoutError("no answer in time")
