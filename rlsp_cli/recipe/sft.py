"""The key `sft`: supervised fine-tuning."""

from typing import Literal

from pydantic import PositiveFloat, model_validator

from rlsp_cli.recipe.axolotl import Axolotl
from rlsp_cli.recipe.optimisation import Optimisation
from rlsp_cli.recipe.section import BelowOne, LearningRate, NonNegativeInt, PositiveInt

_DPO_BETA = 0.1


class Sft(Optimisation):
    """Supervised fine-tuning on traces, on labelled steps, or on pairs of responses."""

    kind: Literal["sft", "prm", "dpo"] = "sft"
    """`sft` imitates `data.traces`, `prm` trains a process reward model on `data.steps`
    (docs/process_rewards.md), `dpo` prefers responses as in `data.pairs` (docs/train.md)."""
    backend: Literal["local", "axolotl"] = "local"
    """What runs this stage."""
    axolotl: Axolotl = Axolotl()
    """Settings of Axolotl; without effect on another backend."""

    # How much.
    epochs: PositiveFloat = 1.0
    """Passes over the traces."""
    max_steps: PositiveInt | None = None
    """Most optimiser steps, even within an epoch; by default `epochs` alone decides."""
    batch: PositiveInt = 64
    """Examples in one optimiser step; with `axolotl.packing`, packed sequences."""

    # What a step takes.
    learning_rate: LearningRate = 2.0e-5
    """Peak learning rate."""
    max_length: PositiveInt = 8192
    """Longest example in tokens; longer ones are left out, and counted."""
    mask_input: BelowOne = 0.0
    """Largest share of a response's input tokens to mask (Masked Thought); labels stay."""
    dpo_beta: PositiveFloat = _DPO_BETA
    """How strongly `kind: dpo` (arXiv 2305.18290) holds on to the model that it starts from."""

    # Validation.
    val_rows: NonNegativeInt = 0
    """Examples kept out of training, to measure the validation loss."""
    val_every: PositiveInt = 100
    """Optimiser steps between measurements of the validation loss."""

    @model_validator(mode="after")
    def _has_no_key_of_another_kind(self) -> "Sft":
        if self.kind != "sft" and self.mask_input:
            raise ValueError(f"mask_input is for traces; leave it out with kind: {self.kind}")
        if self.kind != "dpo" and self.dpo_beta != _DPO_BETA:
            raise ValueError(f"dpo_beta is for pairs; leave it out with kind: {self.kind}")
        return self

    @property
    def role(self) -> Literal["traces", "steps", "pairs"]:
        """The key of `data` that it learns from."""
        roles: dict[str, Literal["traces", "steps", "pairs"]]
        roles = {"sft": "traces", "prm": "steps", "dpo": "pairs"}
        return roles[self.kind]
