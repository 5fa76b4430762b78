"""Write the job texts of the shipped recipes anew; read the difference before you commit it."""

import sys
from pathlib import Path
from typing import Any

from rlsp_cli.backends import backend_of, compile_stage, stages_of
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.openrlhf.files import SHIPPED
from rlsp_cli.launch.job import command_line
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths

COPIED = ("start.py", "rlsp_follow.py", *SHIPPED)
"""Files that every job is given as they are."""


def golden_file(name: str) -> Path:
    return Path(__file__).parent / f"{name.replace('/', '-')}.txt"


def job_text(name: str) -> str:
    """The commands and files of every stage of a shipped recipe; RUN and PYTHON stand for what differs by machine."""
    recipe, lines = load_recipe(shipped_recipes()[name], plugins=resolve_options), []
    for stage in stages_of(recipe):
        backend = backend_of(recipe, stage)
        name, version = backend.name, backend.tested[-1]
        job = compile_stage(
            recipe, stage, RunPaths(Path("RUN")), Environment(name, ("PYTHON",), version)
        )
        lines.append(f"== {stage} on {name}{f' {version}' if name != 'local' else ''}")
        lines += [command_line(job, argv) for argv in job.by_hand(Path("RUN") / stage)]
        if "ray" in job.inputs:
            lines += [
                "-- on Ray",
                *(f"{key}: {_words(value)}" for key, value in job.inputs["ray"].items()),
            ]
        for file, text in job.files.items():
            lines += [] if file in COPIED else [f"-- {file}", text.rstrip("\n")]
    return "\n".join(lines).replace(sys.executable, "RLSP_PYTHON") + "\n"


def _words(value: Any) -> str:
    """A value on one line; a command with each option on a line of its own."""
    words = (
        " ".join(map(str, value))
        if isinstance(value, list) and all(isinstance(v, str) for v in value)
        else value
    )
    return str(words).replace(" --", "\n    --")


if __name__ == "__main__":
    for recipe_name in shipped_recipes():
        golden_file(recipe_name).write_text(job_text(recipe_name))
