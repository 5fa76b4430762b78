"""A job on Slurm: submitted with sbatch, followed with squeue, its exit code read from a file.

Where the script could not write that file, the exit code is sacct's, if the site has accounting.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.errors import NotReadyError, StoppedError
from rlsp_cli.launch.attempt import Attempt
from rlsp_cli.launch.observer import Observer
from rlsp_cli.launch.signals import catching_signals

_POLL_S = 2.0
_EXIT_FILE_LOOKS = 5
"""How often to look for the exit code of a job that has ended; a shared folder may show it late."""
_UNANSWERED = 60
"""Questions in a row without an answer after which the controller counts as lost."""
_OVER = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
)


@dataclass(frozen=True)
class _State:
    """What squeue says of a job, or of one task of an array."""

    state: str
    reason: str = ""

    def __str__(self) -> str:
        return self.state.lower() + (f" ({self.reason})" if self.state == "PENDING" else "")


def run_batch(script: Path, attempt: Attempt, stop_file: Path | None) -> tuple[int, list[int]]:
    """Submit a script and wait for its end; (exit code, signals that came).

    A first signal asks it to save and leave, or cancels it when it has not started; a second one
    cancels it. NotReadyError when sbatch refuses the script, or the controller is lost.
    """
    exit_file, say = attempt.folder / "exit_code", attempt.observer.say
    environment = {**attempt.environment, "RLSP_EXIT_FILE": str(exit_file)}
    # The commands of setup have written to these logs already, which Slurm by default truncates.
    logs = ["--open-mode=append", f"--output={attempt.stdout}", f"--error={attempt.stderr}"]
    job = _submitted(script, logs, environment)
    say(f"Slurm job {job} submitted")
    now = _State("PENDING")

    def ask_to_stop() -> None:
        # A job that waits in the queue has nothing to save, and would find the stop file only when
        # it starts, perhaps days later.
        if now.state == "PENDING":
            _slurm(["scancel", job])
            return
        if stop_file is not None:
            stop_file.touch()
        else:
            _slurm(["scancel", "--signal=TERM", job])
        say("stopping after this step, with a checkpoint; again to cancel the job")

    with _stopping_on_signals(job, ask_to_stop) as received:
        for new, *_ in _followed(job, f"Slurm job {job}", attempt.observer):
            if new.state != now.state:
                say(f"Slurm job {job}: {new}")
            now = new

    return _exit_code(job, now.state, exit_file), received


def run_array(script: Path, tasks: int, at_a_time: int | None, observer: Observer) -> None:
    """Submit a script as an array of tasks, numbered from 0, and wait until none is left.

    A first signal asks the running tasks to save and leave and drops those that wait, a second one
    cancels all; then StoppedError. NotReadyError as for `run_batch`.
    """
    limit = f"%{at_a_time}" if at_a_time else ""
    words = [f"--array=0-{tasks - 1}{limit}", f"--output={script.parent}/%A_%a.log"]
    job = _submitted(script, words)
    observer.say(f"Slurm array {job} of {tasks} tasks submitted")

    def ask_to_stop() -> None:
        _slurm(["scancel", "--state=PENDING", job])
        _slurm(["scancel", "--signal=TERM", job])
        observer.say("stopping, with checkpoints; again to cancel the array")

    with _stopping_on_signals(job, ask_to_stop) as received:
        for _ in _followed(job, f"Slurm array {job}", observer):
            pass

    if received:
        raise StoppedError("stopped", received[0])


@contextmanager
def _stopping_on_signals(job: str, first: Callable[[], None]) -> Iterator[list[int]]:
    """Call `first` when a signal comes, and cancel the job at the next one."""

    def pass_on(_: int) -> None:
        if len(received) == 1:
            first()
        else:
            _slurm(["scancel", job])

    with catching_signals(pass_on) as received:
        yield received


def _submitted(
    script: Path, options: Sequence[str], environment: Mapping[str, str] = os.environ
) -> str:
    """The id of the job that a script has become."""
    found = _slurm(["sbatch", "--parsable", "--export=ALL", *options, str(script)], environment)
    # `--parsable` prints `ID`, or `ID;CLUSTER` where there are several clusters.
    return found.strip().partition(";")[0]


def _followed(job: str, what: str, observer: Observer) -> Iterator[list[_State]]:
    """What squeue says every few seconds, until it says that all of the job is over.

    A busy controller is asked again for two minutes and more; then NotReadyError.
    """
    unanswered, left = 0, True
    while left:
        observer.tick()
        time.sleep(_POLL_S)

        # The job does not depend on us: an answer that fails says nothing of it.
        try:
            states = _states(job)
        except NotReadyError as error:
            unanswered += 1
            if unanswered == _UNANSWERED:
                raise NotReadyError(
                    f"{error}; {what} may still run: `scancel {job}` ends it"
                ) from error
            continue

        unanswered, left = 0, any(task.state not in _OVER for task in states)
        yield states
    observer.tick()


def _states(job: str) -> list[_State]:
    """The state of a job, or those of an array's tasks; COMPLETED when the queue has forgotten it."""
    argv = ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%R"]
    try:
        lines = _slurm(argv).split("\n")
    except NotReadyError as error:
        # The controller keeps an ended job for MinJobAge, five minutes by default. How it ended is
        # then left to its exit code.
        if "Invalid job id" not in str(error):
            raise
        lines = []
    found = [line.strip().partition("|") for line in lines if line.strip()]
    return [_State(state, reason) for state, _, reason in found] or [_State("COMPLETED")]


def _exit_code(job: str, state: str, exit_file: Path) -> int:
    """The exit code that the script wrote, else the one of Slurm's accounting, else 1."""
    # Only a job that ran to its end has written one; a killed script has not.
    for _ in range(_EXIT_FILE_LOOKS if state == "COMPLETED" else 1):
        text = exit_file.read_text(encoding="utf-8").strip() if exit_file.exists() else ""
        if text:  # an empty file is one that is being written
            return int(text)
        time.sleep(_POLL_S)

    try:
        found = _slurm(
            ["sacct", "--noheader", "--parsable2", "-X", f"--jobs={job}", "--format=ExitCode"]
        )
    except NotReadyError:  # many sites have no accounting
        return 1

    # `CODE:SIGNAL`, of which one is 0.
    ended = re.match(r"(\d+):(\d+)", found.strip())
    return (int(ended[1]) or -int(ended[2])) if ended else 1


def _slurm(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    """What one of Slurm's commands prints; NotReadyError when it is missing or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        raise NotReadyError(
            f"{argv[0]}: {error.strerror}; rlsp runs Slurm's commands, "
            "so start it on a machine that has them"
        ) from error

    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["failed without a message"])[0]
        raise NotReadyError(f"{argv[0]}: {reason.removeprefix(f'{argv[0]}: ')}")
    return done.stdout
