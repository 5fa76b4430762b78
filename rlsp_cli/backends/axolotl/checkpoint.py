"""Axolotl's checkpoints: which one a stage can go on from, and whether a saved model is whole."""

import json
from pathlib import Path

from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.errors import JobError
from rlsp_cli.runs.checkpoints import newest_whole

_NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


def newest_checkpoint(output: Path) -> Path | None:
    """The whole checkpoint with the most steps; those that a crash left half written are passed over."""
    return newest_whole(output, "checkpoint-", _is_whole)


def checkpoint_step(checkpoint: Path) -> int:
    """Steps that were done."""
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(folder: Path) -> bool:
    """A checkpoint that can be gone on from. Sharded ones keep their optimiser in folders of their own."""
    sharded = any(folder.glob("global_step*")) or any(folder.glob("optimizer_*"))
    if not all((folder / name).exists() for name in (_NEEDED[:1] if sharded else _NEEDED)):
        return False
    try:
        json.loads((folder / _NEEDED[0]).read_text(encoding="utf-8"))
        tensor_shapes(folder)
    except (ValueError, JobError):
        return sharded and not list(folder.glob("*.safetensors"))
    return True
