"""Job -> Run: write a stage's files, run its commands one after the other, show how they get on."""

import shlex
from collections.abc import Sequence

from rich.console import Console

from rlsp_cli.backends.job import Job
from rlsp_cli.errors import UsageError
from rlsp_cli.launch.attempt import Attempt, new_attempt
from rlsp_cli.launch.command import run_command
from rlsp_cli.launch.gpus import refuse_missing_gpus
from rlsp_cli.launch.observer import Observer
from rlsp_cli.launch.progress import showing_progress
from rlsp_cli.launch.slurm import run_batch
from rlsp_cli.launch.torchrun import call_for_workers
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.run import Run
from rlsp_cli.runs.stream import write_text


def launch(job: Job, run: Run, screen: Console) -> list[int]:
    """Run a job to its end; returns the signals that came when it was done anyway.

    A first Ctrl-C, SIGTERM or SIGHUP asks the job to save and leave (StoppedError), a second one
    kills it. Raises the error that a command reported, or JobError with its last line and likely
    cause.
    """
    paths = run.paths.stage(job.stage)

    # Before anything is written, so that a refused start leaves no attempt behind.
    _refuse_ppo_without_sft(job, run)
    refuse_missing_gpus(job, run.recipe.cluster.launcher)

    prepare(job, paths)

    with showing_progress(job.stage, paths, screen) as progress:
        if job.resumes is not None:
            progress.say(job.resumes)
        call_for_workers(job, run.recipe.cluster, paths, progress)
        return _run_commands(job, paths, progress)


def prepare(job: Job, paths: StagePaths) -> None:
    """Write the job's files; nothing is started."""
    write_text(paths.job, job.to_json())
    for name, text in job.files.items():
        write_text(paths.root / name, text)


def command_line(job: Job, argv: Sequence[str]) -> str:
    """A command of the job as one would type it."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in job.env.items()]
    return " ".join([*variables, *map(shlex.quote, argv)])


def _refuse_ppo_without_sft(job: Job, run: Run) -> None:
    """UsageError for PPO of a recipe with SFT in a run that has no SFT model."""
    if job.stage == "ppo" and run.recipe.sft and not run.paths.stage("sft").final.exists():
        root = run.paths.root
        raise UsageError(
            "it starts from the sft checkpoint, and this run has none: "
            f"first `rlsp sft RECIPE --out {root}`, then `rlsp ppo RECIPE --out {root} --resume`"
        )


def _run_commands(job: Job, paths: StagePaths, observer: Observer) -> list[int]:
    """One attempt: the commands of setup, the job's own, those of finish."""
    attempt = new_attempt(paths, job.env, observer)
    lines = [command_line(job, argv) for argv in job.by_hand(paths.root)]
    write_text(attempt.folder / "command", "\n".join(lines) + "\n")

    for argv in job.setup:
        run_command(argv, attempt)

    signals = _run_main(job, paths, attempt)

    # Also when a signal came: the trainer has ended well, and its model is yet to be published.
    for argv in job.finish:
        signals = signals + run_command(argv, attempt)
    return signals


def _run_main(job: Job, paths: StagePaths, attempt: Attempt) -> list[int]:
    """The job's own command, here or on Slurm."""
    stop_file = paths.root / job.stop_file if job.stop_file else None
    if stop_file is not None:
        # That of an earlier attempt would stop this one after its first step.
        stop_file.unlink(missing_ok=True)

    if job.batch is None:
        return run_command(job.argv, attempt, stop_file)

    code, signals = run_batch(paths.root / job.batch, attempt, stop_file)
    if code:
        raise attempt.failure(code, signals)
    return signals
