"""A step that rlsp itself does for a job, in a process of its own: it ends with an exit code and a report."""

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
    """Tell the person who watches: lines of this form are passed on from a command's log."""
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
        run = RunPaths(Path(inputs["run"]))
        return cls(load_recipe(run.resolved, plugins=resolve_options), run, inputs)

    @property
    def resume(self) -> Path | None:
        """The checkpoint to go on from."""
        path = self.inputs["resume"]
        return Path(path) if path else None


def run_step(steps: Mapping[str, Callable[..., None]], argv: list[str]) -> int:
    """Do the step `argv[0]` with the inputs of the job.json `argv[1]` and the words after it.

    An error of a known kind is one line on stderr and in the attempt's error.json.
    """
    try:
        steps[argv[0]](JobStep.of(read_inputs(Path(argv[1]))[1]), *argv[2:])
    except RlspError as error:
        return report(error)
    return 0
