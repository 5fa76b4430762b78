"""Tasks as an array on Slurm: one script, in which each task looks up its own command."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from rlsp_cli.ablate.paths import AblationPaths
from rlsp_cli.ablate.task import Task
from rlsp_cli.backends.sbatch import batch_script
from rlsp_cli.launch.observer import Printer
from rlsp_cli.launch.slurm import run_array
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.stream import write_json, write_text


def run_as_array(
    tasks: Sequence[Task], recipe: Recipe, paths: AblationPaths, at_a_time: int | None
) -> None:
    """Submit tasks with what the recipe asks of Slurm, and wait until all have ended.

    `at_a_time` limits how many run at once; None leaves it to Slurm.
    """
    commands = [{**asdict(task), "log": str(task.log)} for task in tasks]
    write_json(paths.tasks, {"tasks": commands})

    argv = [sys.executable, "-P", "-m", "rlsp_cli.ablate", str(paths.tasks)]
    write_text(paths.script, batch_script(recipe.cluster, f"{recipe.name}-ablate", argv, {}))
    run_array(paths.script, len(tasks), at_a_time, Printer())
