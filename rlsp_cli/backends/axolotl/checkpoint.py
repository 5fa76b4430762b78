"""Axolotl's checkpoints: which one a stage can go on from, and whether a saved model is whole."""

import json
from pathlib import Path

from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.errors import JobError
from rlsp_cli.runs.checkpoints import newest_whole

_STATE = "trainer_state.json"
_OPTIMISER = ("optimizer.pt", "scheduler.pt")
"""What the trainer of transformers writes beside the model in one process, or without sharding."""


def newest_checkpoint(output: Path) -> Path | None:
    """The whole checkpoint with the most steps; a crash may have left newer ones half written."""
    return newest_whole(output, "checkpoint-", _is_whole)


def checkpoint_step(checkpoint: Path) -> int:
    """Optimiser steps that were done at a `checkpoint-N`."""
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(folder: Path) -> bool:
    """Whether training can go on from a checkpoint."""
    # DeepSpeed and FSDP keep the optimiser in folders of their own.
    sharded = any(folder.glob("global_step*")) or any(folder.glob("optimizer_*"))
    needed = (_STATE,) if sharded else (_STATE, *_OPTIMISER)
    if not all((folder / name).exists() for name in needed):
        return False

    try:
        json.loads((folder / _STATE).read_text(encoding="utf-8"))
        tensor_shapes(folder)
    except (ValueError, JobError):
        # FSDP may keep the model in shards too: then no safetensors file is there to be damaged.
        return sharded and not list(folder.glob("*.safetensors"))
    return True
