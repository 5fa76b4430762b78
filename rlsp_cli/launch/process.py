"""One attempt of a job: a child process whose output goes to files, supervised until it ends."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rlsp_cli import errors
from rlsp_cli.backends.job import Job
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import write_text

_POLL_S = 0.2


def prepare(job: Job, paths: StagePaths) -> None:
    """Write the job's files; nothing is started."""
    write_text(paths.job, job.to_json())
    for name, text in job.files.items():
        write_text(paths.root / name, text)


def launch(job: Job, paths: StagePaths, watch: Callable[[], None], say: Callable[[str], None]) -> None:
    """Run a prepared job to its end; `watch` is called a few times a second.

    A first Ctrl-C or SIGTERM asks the child to save and leave (StoppedError), a second one kills it.
    Raises the error that the child reported, or JobError with its last line.
    """
    attempt = paths.attempt(_next_attempt(paths))
    attempt.mkdir(parents=True)
    command = " ".join([*(f"{key}={value}" for key, value in job.env.items()), *job.argv])
    write_text(attempt / "command", command + "\n")
    with (attempt / "stdout.log").open("w") as out, (attempt / "stderr.log").open("w") as err:
        environment = {**os.environ, "DO_NOT_TRACK": "1", **job.env, "RLSP_ERROR_FILE": str(attempt / "error.json")}
        child = subprocess.Popen(
            job.argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        received = _supervise(child, watch, say)
    if child.returncode:
        raise _failure(child.returncode, attempt, received)


def _supervise(child: "subprocess.Popen[bytes]", watch: Callable[[], None], say: Callable[[str], None]) -> list[int]:
    """Wait for the child, pass signals on; returns the signals that came."""

    def pass_on(number: int) -> None:
        if len(received) > 1:
            os.killpg(child.pid, signal.SIGKILL)
        else:
            say("stopping after this step, with a checkpoint; again to kill")
            os.kill(child.pid, signal.SIGTERM)

    with _signals(pass_on) as received:
        try:
            while child.poll() is None:
                watch()
                time.sleep(_POLL_S)
            watch()
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    return received


@contextmanager
def _signals(pass_on: Callable[[int], None]) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        pass_on(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failure(code: int, attempt: Any, received: list[int]) -> errors.RlspError:
    """The error of a child that ended with `code`."""
    report = attempt / "error.json"
    if received:
        error: errors.RlspError = errors.StoppedError("stopped" if report.exists() else "killed")
        error.exit_code = 128 + received[0]
    elif report.exists():
        data = json.loads(report.read_text(encoding="utf-8"))
        error = errors.JobError(data["message"])
        error.exit_code = data["exit_code"]
    else:
        lines = (attempt / "stderr.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it printed nothing"
        error = errors.JobError(f"the process ended with code {code}: {last} (more in {attempt / 'stderr.log'})")
    return error


def _next_attempt(paths: StagePaths) -> int:
    done = [int(folder.name) for folder in (paths.root / "attempts").glob("*") if folder.name.isdigit()]
    return max(done, default=0) + 1
