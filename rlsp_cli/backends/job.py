"""A Job: everything that one stage will write and start, as a value. Nothing has happened yet."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Resources:
    """What the processes of a job need."""

    nodes: int = 1
    gpus_per_node: int = 0


@dataclass(frozen=True)
class Job:
    """One stage, compiled. `files` maps names inside the stage's folder to their text."""

    stage: str
    backend: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The document job.json; the text of `files` lies beside it and is not repeated."""
        data = {**asdict(self), "files": sorted(self.files)}
        return json.dumps({"schema": "rlsp.job/1", "data": data}, indent=2) + "\n"


def read_inputs(path: Path) -> tuple[str, dict[str, Any]]:
    """The stage and the inputs of a job.json."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    return data["stage"], data["inputs"]
