"""What a Ray job is made of, as job.json has it under `inputs.ray`.

A backend compiles it, the launcher drives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class NodeNeeds:
    """What every node of the cluster must have."""

    model: str
    """Folder or hub id of the model that training starts from."""
    packages: tuple[str, ...]
    """Packages whose versions must be the same everywhere."""
    versions: Mapping[str, str]
    """Versions of some of them that the job was made for."""


@dataclass(frozen=True)
class RayJob:
    """One submission to a Ray cluster, and the cluster to start when none is there."""

    python: tuple[str, ...]
    """Words that start the interpreter which has Ray."""
    entrypoint: tuple[str, ...]
    """What the cluster runs, with an absolute interpreter."""
    env: Mapping[str, str]
    """Variables of the job's driver and of its workers."""
    setup_hook: str | None
    """`module.function` that every worker calls first; the module is one of `ship`."""
    ship: tuple[str, ...]
    """Files of the stage's folder that are the working directory on every node."""
    placement_groups: tuple[tuple[str, int], ...]
    """Placement groups as (who, GPUs); each GPU comes with one CPU."""
    nodes: int
    gpus_per_node: int
    fake_gpus: int
    """GPUs that a local head claims to have; 0 for the real ones."""
    address: str | None
    """Dashboard of a cluster that is there, as `http://HOST:8265`."""
    port: int
    """Port of a head that is started here."""
    join_timeout_s: int
    """How long to wait for nodes, and for busy GPUs."""
    quiet_limit_s: int
    """Seconds without any progress after which the job counts as hung."""
    service: tuple[str, ...] | None
    """Command of the reward service."""
    secrets: tuple[str, ...]
    """Variables that the job gets from here if they are set, and that are written nowhere."""
    passed: tuple[str, ...] = ()
    """Variables without a secret that it gets from here as well."""
    wandb: bool = False
    """Whether it sends its numbers to Weights & Biases, which wants a login."""
    needs: NodeNeeds | None = None
    """What to ask every node for, before the job."""

    @property
    def bundles(self) -> int:
        """Placement bundles of one GPU and one CPU over all groups."""
        return sum(gpus for _, gpus in self.placement_groups)

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, for a job.json."""
        data: dict[str, Any] = TypeAdapter(RayJob).dump_python(self, mode="json")
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RayJob":
        """From what `to_json` gave; ValueError when it is something else."""
        return TypeAdapter(cls).validate_python(data)
