"""One attempt of a job: its commands one after the other, their output in files, supervised until they end."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rlsp_cli.backends.job import Job
from rlsp_cli.child.cause import last_lines, last_words, likely_cause
from rlsp_cli.child.leash import leashed
from rlsp_cli.errors import JobError, RlspError, StoppedError
from rlsp_cli.launch.signals import catching_signals
from rlsp_cli.launch.slurm import run_batch
from rlsp_cli.runs.failure import VARIABLE, read_failure
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import write_text

_POLL_S = 0.2
_LOG_BYTES = 1 << 16
"""The end of a log in which a cause is looked for."""
_NOTE = b"note: "


def prepare(job: Job, paths: StagePaths) -> None:
    """Write the job's files; nothing is started."""
    write_text(paths.job, job.to_json())
    for name, text in job.files.items():
        write_text(paths.root / name, text)


def command_line(job: Job, argv: Sequence[str]) -> str:
    """A command of the job as one would type it."""
    return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in job.env.items()), *map(shlex.quote, argv)])


def launch(job: Job, paths: StagePaths, watch: Callable[[], None], say: Callable[[str], None]) -> list[int]:
    """Run a prepared job to its end; `watch` is called a few times a second, and notes in the job's stderr are said.

    A first Ctrl-C, SIGTERM or SIGHUP asks the job to save and leave (StoppedError), a second one kills it; returns the
    signals that came when it was done anyway. Raises the error that a command reported, or JobError with its last line
    and likely cause.
    """
    attempt = new_attempt(paths)
    lines = [command_line(job, argv) for argv in job.by_hand(paths.root)]
    write_text(attempt / "command", "\n".join(lines) + "\n")
    environment = {**os.environ, "DO_NOT_TRACK": "1", **job.env, VARIABLE: str(attempt / "error.json")}
    stop_file = paths.root / job.stop_file if job.stop_file else None
    if stop_file is not None:
        stop_file.unlink(missing_ok=True)
    watch = _with_notes(attempt / "stderr.log", watch, say)
    for argv in job.setup:
        run_command(argv, environment, attempt, watch, say)
    if job.batch:
        code, received = run_batch(paths.root / job.batch, environment, attempt, watch, say, stop_file)
        if code:
            raise failure(code, attempt, received, say)
    else:
        received = run_command(job.argv, environment, attempt, watch, say, stop_file)
    for argv in job.finish:
        received = received + run_command(argv, environment, attempt, watch, say)
    return received


def new_attempt(paths: StagePaths) -> Path:
    """The folder of the next attempt."""
    done = [int(folder.name) for folder in (paths.root / "attempts").glob("*") if folder.name.isdigit()]
    attempt = paths.attempt(max(done, default=0) + 1)
    attempt.mkdir(parents=True)
    return attempt


def run_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    attempt: Path,
    watch: Callable[[], None],
    say: Callable[[str], None],
    stop_file: Path | None = None,
) -> list[int]:
    """Run one command in a session of its own; its output is appended to the attempt's logs. Returns signals that came.

    It ends with this process, also by SIGKILL: what went on alone would write beside a resumed run.
    """
    with (attempt / "stdout.log").open("ab") as out, (attempt / "stderr.log").open("ab") as err:
        child = subprocess.Popen(
            leashed(argv), stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        received = _supervise(child, watch, say, stop_file)
    if child.returncode:
        raise failure(child.returncode, attempt, received, say)
    return received


def _with_notes(log: Path, watch: Callable[[], None], say: Callable[[str], None]) -> Callable[[], None]:
    """`watch`, and what a command tells the person who waits: lines of its stderr that begin with `note: `."""
    position = 0

    def look() -> None:
        nonlocal position
        watch()
        if log.exists():
            with log.open("rb") as stream:
                stream.seek(position)
                whole, newline, _ = stream.read().rpartition(b"\n")
            position += len(whole) + len(newline)
            for line in whole.splitlines():
                if line.startswith(_NOTE):
                    say(line.removeprefix(_NOTE).decode("utf-8", errors="replace"))

    return look


def _supervise(
    child: "subprocess.Popen[bytes]", watch: Callable[[], None], say: Callable[[str], None], stop_file: Path | None
) -> list[int]:
    """Wait for the child, pass signals on; returns the signals that came."""

    def pass_on(number: int) -> None:
        if len(received) > 1:
            os.killpg(child.pid, signal.SIGKILL)
            return
        if stop_file is not None:
            stop_file.touch()
        else:
            os.kill(child.pid, signal.SIGTERM)
        say("stopping after this step, with a checkpoint; again to kill")

    with catching_signals(pass_on) as received:
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


def failure(code: int, attempt: Path, received: Sequence[int], say: Callable[[str], None]) -> RlspError:
    """The error of a command that ended with `code`; says the last lines of a log whose writer could not say why."""
    report = attempt / "error.json"
    if received:
        killed = len(received) > 1 and not report.exists()
        return StoppedError("killed" if killed else "stopped", received[0])
    if report.exists():
        return read_failure(report)

    log = _end_of(attempt / "stdout.log") + _end_of(attempt / "stderr.log")
    for line in last_lines(_end_of(attempt / "stderr.log")):
        say(f"| {line}")

    cause = likely_cause(log, code)
    words = f"{last_words(log)} (more in {attempt / 'stderr.log'})"
    return JobError(f"the process ended with code {code}: {f'{cause}: ' if cause else ''}{words}")


def _end_of(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - _LOG_BYTES, 0))
        return stream.read().decode("utf-8", errors="replace")
