"""An estimate of what a PPO job leaves on the disk that all machines share."""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.recipe.ppo import Ppo

KEPT = 2
"""How many checkpoints OpenRLHF keeps, the newest, unless `ckpt.max_num` says otherwise."""
_STATE_BYTES = 12
"""A parameter in DeepSpeed's checkpoint: float32 weight and Adam's two moments."""
_WEIGHT_BYTES = 2
"""A weight in bfloat16."""
_COPIES = 2
"""The trained model as OpenRLHF saves it, and as rlsp hands it over."""


@dataclass(frozen=True)
class Disk:
    """Bytes of one checkpoint, how many are kept, and bytes of trained and exported models."""

    checkpoint: float
    kept: int
    model: float
    exports: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.checkpoint * self.kept + self.model + self.exports


def disk_space(shape: ModelShape, ppo: Ppo, steps: int | None) -> Disk:
    """Bytes of checkpoints and models after `steps` steps; without them no exports are counted."""
    # A critic has no output layer over the vocabulary.
    trained = shape.parameters + (shape.trunk if ppo.estimator == "gae" else 0)

    # Stages below 3 also save the weights as they compute with them.
    each = _STATE_BYTES + (0 if ppo.openrlhf.sharding == "zero3" else _WEIGHT_BYTES)

    one_model = _WEIGHT_BYTES * shape.parameters
    exported = (steps or 0) // ppo.export_every if ppo.export_every else 0
    return Disk(
        checkpoint=each * trained,
        kept=int(ppo.openrlhf.extra.get("ckpt.max_num", KEPT)),
        model=_COPIES * one_model,
        exports=exported * one_model,
    )
