"""A command of an ablation: `rlsp run` on one of its run folders."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.ablate.ablation import ArmRun


@dataclass(frozen=True)
class Task:
    """A name for messages, a command, and the file that takes what it prints."""

    name: str
    argv: tuple[str, ...]
    log: Path


def task_of(one: ArmRun, *stages: str) -> Task:
    """Run the stages of a run that are not done yet, all of them or only those named."""
    paths = one.run.paths
    words = ["run", str(paths.resolved), "--out", str(paths.root), "--resume"]
    for stage in stages:
        words += ["--stage", stage]

    # -P: no file of the folder in which we are shadows a library.
    name = f"{one.name}{': ' + ', '.join(stages) if stages else ''}"
    return Task(name, (sys.executable, "-P", "-m", "rlsp_cli", *words), one.log)
