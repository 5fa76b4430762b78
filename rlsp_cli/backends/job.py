"""A Job: all that one stage will write and start, as a value. Nothing has happened yet."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESTORED = "weights, optimiser, schedule, data position, random numbers"
"""What the SFT of both engines and the embedded PPO restore from a checkpoint."""


@dataclass(frozen=True)
class Resources:
    """What the processes of a job need."""

    nodes: int = 1
    gpus_per_node: int = 0


@dataclass(frozen=True)
class Job:
    """One stage, compiled."""

    stage: str
    backend: str
    argv: tuple[str, ...]
    """What the cluster runs."""
    setup: tuple[tuple[str, ...], ...] = ()
    """Commands before it, which run where rlsp does."""
    finish: tuple[tuple[str, ...], ...] = ()
    """Commands after it, which run where rlsp does."""
    batch: str | None = None
    """The one of `files` that is submitted to Slurm, and that holds `argv`."""
    stop_file: str | None = None
    """A file that makes the job save and leave; without one it does so on SIGTERM."""
    resumes: str | None = None
    """What it goes on from, as a phrase for the screen."""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Name inside the stage's folder -> text."""
    resources: Resources = Resources()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What the backend's own steps read from job.json."""

    def by_hand(self, folder: Path) -> list[tuple[str, ...]]:
        """The commands to type one after the other, with the files in `folder`."""
        command = ("sbatch", str(folder / self.batch)) if self.batch else self.argv
        return [*self.setup, command, *self.finish]

    def to_json(self) -> str:
        """The document job.json; the text of `files` lies beside it and is not repeated."""
        data = {**asdict(self), "files": sorted(self.files)}
        return json.dumps({"schema": "rlsp.job/1", "data": data}, indent=2) + "\n"


def read_inputs(path: Path) -> tuple[str, dict[str, Any]]:
    """The stage and the inputs of a job.json."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    return data["stage"], data["inputs"]
