"""GPUs of this machine, counted without loading anything that knows them."""

import os
from pathlib import Path

from rlsp_cli.backends.job import Job
from rlsp_cli.errors import NotReadyError

_DEVICES = Path("/dev")


def count_gpus(devices: Path = _DEVICES) -> int:
    """Device nodes of NVIDIA's driver, or of AMD's; no more than CUDA_VISIBLE_DEVICES names."""
    found = len(
        [node for node in devices.glob("nvidia*") if node.name.removeprefix("nvidia").isdigit()]
    )
    if not found and (devices / "kfd").exists():
        found = len(list(devices.glob("dri/renderD*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        found
        if visible is None
        else min(found, len([name for name in visible.split(",") if name.strip()]))
    )


def refuse_missing_gpus(job: Job, launcher: str) -> None:
    """NotReadyError when processes that start here want more GPUs than there are; elsewhere Slurm and Ray know."""
    wanted, here = job.resources.gpus_per_node, count_gpus()
    if launcher not in ("slurm", "ray") and wanted > here:
        raise NotReadyError(
            f"it wants {wanted} GPUs, and this machine has {here}; "
            "lower cluster.gpus_per_node (0 for the CPU), or set cluster.launcher: slurm"
        )
