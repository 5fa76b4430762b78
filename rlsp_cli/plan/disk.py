"""An estimate of what a PPO job leaves on the disk that all machines share."""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.recipe.schema import Ppo

KEPT = 2
"""Checkpoints of which OpenRLHF keeps the newest, unless `ckpt.max_num` says otherwise."""
_STATES = 12
"""Bytes of a parameter in DeepSpeed's checkpoint: float32 weights and Adam's two moments."""
_WEIGHTS = 2
"""Bytes of a parameter in bfloat16; stages below 3 save these weights too."""
_COPIES = 2
"""The trained model as OpenRLHF saves it, and as rlsp hands it over."""


@dataclass(frozen=True)
class Disk:
    """Bytes of one checkpoint, how many are kept, bytes of the trained model, and of those that steps export."""

    checkpoint: float
    kept: int
    model: float
    exports: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.checkpoint * self.kept + self.model + self.exports


def disk_space(shape: ModelShape, ppo: Ppo, steps: int | None) -> Disk:
    """What checkpoints of actor and critic, and the trained model, take, after `steps` steps where they are known."""
    trained = shape.parameters + (shape.trunk if ppo.estimator == "gae" else 0)
    each = _STATES + (0 if ppo.openrlhf.sharding == "zero3" else _WEIGHTS)
    one = _WEIGHTS * shape.parameters
    exported = (steps or 0) // ppo.export_every if ppo.export_every else 0
    return Disk(
        each * trained,
        int(ppo.openrlhf.extra.get("ckpt.max_num", KEPT)),
        _COPIES * one,
        exported * one,
    )
