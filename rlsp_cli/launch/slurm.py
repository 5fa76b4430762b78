"""A job on Slurm: submitted with sbatch, followed with squeue, its end read from sacct or from what it wrote itself."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlsp_cli.errors import NotReadyError
from rlsp_cli.launch.attempt import Attempt
from rlsp_cli.launch.signals import catching_signals

_POLL_S, _LOOKS, _PATIENCE = 2.0, 5, 60
_OVER = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "BOOT_FAIL",
)


def run_batch(script: Path, attempt: Attempt, stop_file: Path | None) -> tuple[int, list[int]]:
    """Submit a script and wait for its end; (exit code, signals that came).

    A first signal asks it to save and leave, or cancels it when it has not started; a second one
    cancels it. A busy controller is asked again for two minutes and more, while the job runs; then
    NotReadyError.
    """
    exit_file, say = attempt.folder / "exit_code", attempt.observer.say
    job = submit(script, attempt, exit_file)
    say(f"Slurm job {job} submitted")
    state, unanswered = "PENDING", 0

    def pass_on(_: int) -> None:
        if len(received) > 1 or state == "PENDING":
            _slurm(["scancel", job])
            return

        if stop_file is not None:
            stop_file.touch()
        else:
            _slurm(["scancel", "--signal=TERM", job])
        say("stopping after this step, with a checkpoint; again to cancel the job")

    with catching_signals(pass_on) as received:
        while state not in _OVER:
            attempt.observer.tick()
            time.sleep(_POLL_S)
            try:
                new, reason = job_state(job)
            except NotReadyError as error:
                unanswered += 1
                if unanswered == _PATIENCE:
                    raise NotReadyError(
                        f"{error}; Slurm job {job} may still run: `scancel {job}` ends it"
                    ) from error
                continue
            unanswered = 0
            if new != state:
                say(f"Slurm job {job}: {new.lower()}{f' ({reason})' if new == 'PENDING' else ''}")
            state = new
        attempt.observer.tick()
    return _exit_code(job, state, exit_file), received


def submit(script: Path, attempt: Attempt, exit_file: Path) -> str:
    """Submit a script that writes its exit code into `exit_file`; the job's id. NotReadyError when sbatch refuses."""
    logs = [f"--output={attempt.stdout}", f"--error={attempt.stderr}"]
    environment = {**attempt.environment, "RLSP_EXIT_FILE": str(exit_file)}
    found = _slurm(
        ["sbatch", "--parsable", "--export=ALL", "--open-mode=append", *logs, str(script)],
        environment,
    )
    return found.strip().partition(";")[0]


def job_state(job: str) -> tuple[str, str]:
    """(state, reason); a job that the queue has forgotten counts as COMPLETED, and its exit code decides."""
    try:
        line = _slurm(
            ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%R"]
        ).strip()
    except NotReadyError as error:
        if "Invalid job id" in str(error):
            return "COMPLETED", ""
        raise
    state, _, reason = line.partition("|")
    return state or "COMPLETED", reason


def _exit_code(job: str, state: str, exit_file: Path) -> int:
    """What the script wrote, which a shared folder may show late; else accounting's word, where there is accounting."""
    for _ in range(_LOOKS if state == "COMPLETED" else 1):
        if exit_file.exists() and (
            text := exit_file.read_text(encoding="utf-8").strip()
        ):  # it may be half there
            return int(text)
        time.sleep(_POLL_S)
    try:
        found = _slurm(
            ["sacct", "--noheader", "--parsable2", "-X", f"--jobs={job}", "--format=ExitCode"]
        )
    except NotReadyError:
        found = ""
    code = re.match(r"(\d+):(\d+)", found.strip())
    return (int(code[1]) or -int(code[2])) if code else 1


def _slurm(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        raise NotReadyError(
            f"{argv[0]}: {error.strerror}; Slurm's commands are needed where rlsp runs"
        ) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["failed without a message"])[0]
        raise NotReadyError(f"{argv[0]}: {reason.removeprefix(f'{argv[0]}: ')}")
    return done.stdout
