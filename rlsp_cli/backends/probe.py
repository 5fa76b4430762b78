"""Asking an environment what it has: its interpreter runs `templates/BACKEND/probe.py`."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.ray_address import read_ray_address, shown
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.share import share


@dataclass(frozen=True)
class RayProbe:
    """The cluster of RAY_ADDRESS, or the `problem` with it; pairs are (free, all), None if unknown."""

    address: str
    problem: str | None = None
    version: str | None = None
    nodes: int | None = None
    gpus: tuple[float | None, ...] = ()
    cpus: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Probe:
    """What an environment has."""

    packages: Mapping[str, str]
    """Installed packages and their versions."""
    gpus: tuple[str, ...] = ()
    """Names of the GPUs that torch sees."""
    gpu_memory: tuple[int, ...] = ()
    """Bytes of each of these GPUs."""
    driver: str | None = None
    """Version of NVIDIA's driver."""
    nccl: str | None = None
    """Version of the NCCL that torch talks through."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Versions of packages that the backend itself asks for."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the backend's configuration file, each with the keys inside it."""
    ray: RayProbe | None = None
    """The Ray cluster that a job would join."""
    facts: tuple[str, ...] = ()
    """What else a person would like to know."""
    problems: tuple[str, ...] = ()
    """Why it cannot be used as it is."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Probe":
        """From the answer of a probe script."""
        # Each backend's script answers with what it knows of these.
        cluster = data.get("ray")
        known = {name: data[name] for name in ("driver", "nccl", "pins", "keys") if name in data}
        return cls(
            packages=data["packages"],
            gpus=tuple(data["gpus"]),
            gpu_memory=tuple(data.get("gpu_memory", ())),
            ray=RayProbe(**cluster) if cluster else None,
            **known,
        )


def run_probe(environment: Environment) -> Probe:
    """The answer of the backend's probe script; NotReadyError with its last line if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        # Into a file, because libraries print to stdout when they are imported.
        answer = Path(folder) / "answer.json"
        script = share("templates") / environment.backend / "probe.py"
        argv = [*environment.python(Path(folder)), str(script), str(answer)]

        # Headers may be secret: they go through a pipe, which no command line shows.
        handed = json.dumps({"ray": _way_to_ray()})
        done = subprocess.run(argv, input=handed, capture_output=True, text=True, check=False)
        if done.returncode or not answer.exists():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            problem = f"{argv[0]}: {environment.backend} does not load here: {reason}"
            raise NotReadyError(f"{problem}; install it anew")

        return Probe.from_json(json.loads(answer.read_text(encoding="utf-8")))


def _way_to_ray() -> dict[str, Any] | None:
    """The dashboard of RAY_ADDRESS with the headers that open it, or what is wrong with it."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return None

    try:
        ray = read_ray_address(address, "RAY_ADDRESS")
    except UsageError:
        problem = "not the address of a dashboard, as http://HOST:8265"
        return {"address": shown(address), "problem": problem}
    except NotReadyError as error:
        return {"address": shown(address), "problem": str(error)}
    return {"address": ray.url, "url": ray.url, "headers": dict(ray.headers)}
