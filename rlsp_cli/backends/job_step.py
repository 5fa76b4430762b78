"""A step of a job that rlsp itself does, in a process that ends with a code and a report."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.backends.job import read_inputs
from rlsp_cli.errors import RlspError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.failure import report
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print


def say_note(text: str) -> None:
    """Print a note: the launcher passes lines of this form from a command's log to the screen."""
    print(f"note: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class JobStep:
    """What a step works on: the recipe and the folder of its run, and the inputs of its job."""

    recipe: Recipe
    run: RunPaths
    inputs: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> "JobStep":
        """The step with these inputs, of a run whose resolved recipe lies in its folder."""
        # The resolved recipe, and not the user's file, which may have changed since the run began.
        run = RunPaths(Path(inputs["run"]))
        return cls(load_recipe(run.resolved, plugins=resolve_options), run, inputs)

    @property
    def resume(self) -> Path | None:
        """The checkpoint to go on from."""
        path = self.inputs["resume"]
        return Path(path) if path else None


def run_step(steps: Mapping[str, Callable[..., None]], argv: list[str]) -> int:
    """Do a step for `argv`: its name, the path of its job.json, and words that it takes.

    An error of a known kind is one line on stderr and in the attempt's error.json.
    """
    name, job, *options = argv
    try:
        _, inputs = read_inputs(Path(job))
        steps[name](JobStep.of(inputs), *options)
    except RlspError as error:
        return report(error)
    return 0
