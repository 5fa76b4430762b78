"""The way of an ablation: write its runs, train the SFT models that arms share, run the rest, compare."""

from collections.abc import Callable, Sequence

from rlsp_cli.ablate.ablation import Ablation, ArmRun, take_sft
from rlsp_cli.ablate.array import run_as_array
from rlsp_cli.ablate.processes import Say, run_tasks
from rlsp_cli.ablate.report import AblationReport
from rlsp_cli.ablate.task import Task, task_of
from rlsp_cli.ablate.write import write_report
from rlsp_cli.launch.signals import stopping_on_signals
from rlsp_cli.runs.lock import locked

RunTasks = Callable[[Sequence[Task]], None]
"""Runs tasks until all have ended; StoppedError when a signal came."""


def run_ablation(ablation: Ablation, run: RunTasks) -> AblationReport:
    """Run what is not done yet; a run that fails is named in the report, and the rest goes on.

    UsageError when another process writes here, or when the folder has runs of other recipes;
    StoppedError when a signal came, after the running ones have saved.
    """
    with locked(ablation.paths.root), stopping_on_signals("stopped"):
        ablation.write()
        runs = ablation.runs

        # First the models that several start from: those would wait for each other otherwise.
        sources = {one.sft_of.name: one.sft_of for one in runs if one.sft_of and not one.has_sft}
        _run([task_of(one, "sft") for one in sources.values() if not one.has_sft], run)

        _run([task_of(one) for one in runs if _may_start(one)], run)
        return write_report(ablation)


def tasks_runner(ablation: Ablation, at_a_time: int | None, say: Say) -> RunTasks:
    """How tasks run: as an array on Slurm where the recipe asks for it, else on this machine.

    `at_a_time` limits how many run at once; by default it is one here, and Slurm's choice there.
    """
    recipe = ablation.design.recipe
    if ablation.design.is_array:
        return lambda tasks: run_as_array(tasks, recipe, ablation.paths, at_a_time)

    # Jobs on Slurm or Ray get their GPUs elsewhere.
    cluster = recipe.cluster
    gpus = cluster.gpus_per_node if cluster.launcher not in ("slurm", "ray") else 0
    return lambda tasks: run_tasks(tasks, at_a_time or 1, gpus, say)


def _run(tasks: Sequence[Task], run: RunTasks) -> None:
    if tasks:
        run(tasks)


def _may_start(one: ArmRun) -> bool:
    """Whether a run has anything left to do, and what it starts from."""
    if one.is_done:
        return False
    if one.sft_of is not None and not one.has_sft:
        if not one.sft_of.has_sft:
            return False
        take_sft(one)
    return True
