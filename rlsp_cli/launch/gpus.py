"""GPUs of this machine, counted without loading a library that knows them."""

import os
from pathlib import Path

from rlsp_cli.backends.job import Job
from rlsp_cli.errors import NotReadyError

_DEVICES = Path("/dev")


def count_gpus(devices: Path = _DEVICES) -> int:
    """GPUs by the device nodes of NVIDIA's driver, or of AMD's; at most as many as are visible."""
    # nvidia0, nvidia1, ... are GPUs; nvidiactl, nvidia-uvm and their like are there once.
    found = 0
    for node in devices.glob("nvidia*"):
        found += node.name.removeprefix("nvidia").isdigit()

    # A renderD node alone may be any graphics card; kfd is there when one can compute.
    if not found and (devices / "kfd").exists():
        found = len(list(devices.glob("dri/renderD*")))

    # Set but empty hides all GPUs; unset hides none.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, len([name for name in visible.split(",") if name.strip()]))


def refuse_missing_gpus(job: Job, launcher: str) -> None:
    """NotReadyError when processes that start here want more GPUs than there are."""
    # Slurm and Ray start them elsewhere, and know what is there.
    if launcher in ("slurm", "ray"):
        return

    wanted, here = job.resources.gpus_per_node, count_gpus()
    if wanted > here:
        raise NotReadyError(
            f"it wants {wanted} GPUs, and this machine has {here}; "
            "lower cluster.gpus_per_node (0 for the CPU), or set cluster.launcher: slurm"
        )
