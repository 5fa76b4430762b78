"""A Job: everything that one stage will write and start, as a value. Nothing has happened yet."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESTORED = "weights, optimiser, schedule, data position, random numbers"
"""What both SFT engines and PPO restore from a checkpoint."""


@dataclass(frozen=True)
class Resources:
    """What the processes of a job need."""

    nodes: int = 1
    gpus_per_node: int = 0


@dataclass(frozen=True)
class Job:
    """One stage, compiled. `files` maps names inside the stage's folder to their text.

    `argv` is what the cluster runs; the commands of `setup` before it and of `finish` after it run
    where rlsp does. `batch` names the one of `files` that is to be submitted to Slurm, and that
    holds `argv`. A job with a `stop_file` saves and leaves when that file appears; others do so on
    SIGTERM. `resumes` says what it goes on from.
    """

    stage: str
    backend: str
    argv: tuple[str, ...]
    setup: tuple[tuple[str, ...], ...] = ()
    finish: tuple[tuple[str, ...], ...] = ()
    batch: str | None = None
    stop_file: str | None = None
    resumes: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def by_hand(self, folder: Path) -> list[tuple[str, ...]]:
        """The commands that somebody would type, one after the other, with the files in `folder`."""
        return [
            *self.setup,
            ("sbatch", str(folder / self.batch)) if self.batch else self.argv,
            *self.finish,
        ]

    def to_json(self) -> str:
        """The document job.json; the text of `files` lies beside it and is not repeated."""
        data = {**asdict(self), "files": sorted(self.files)}
        return json.dumps({"schema": "rlsp.job/1", "data": data}, indent=2) + "\n"


def read_inputs(path: Path) -> tuple[str, dict[str, Any]]:
    """The stage and the inputs of a job.json."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    return data["stage"], data["inputs"]
