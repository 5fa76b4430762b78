"""An estimate of what a PPO job leaves on the disk that all machines share."""

from dataclasses import dataclass

from rlsp_cli.backends.shape import ModelShape
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
    """Bytes of one checkpoint, how many are kept, and bytes of the trained model."""

    checkpoint: float
    kept: int
    model: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.checkpoint * self.kept + self.model


def disk_space(shape: ModelShape, ppo: Ppo) -> Disk:
    """What checkpoints of actor and critic, and the trained model, take."""
    trained = shape.parameters + (shape.trunk if ppo.estimator == "gae" else 0)
    each = _STATES + (0 if ppo.sharding == "zero3" else _WEIGHTS)
    return Disk(each * trained, int(ppo.extra.get("ckpt.max_num", KEPT)), _COPIES * _WEIGHTS * shape.parameters)
