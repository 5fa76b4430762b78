"""The keys that `sft` and `ppo` share."""

from typing import Literal

from pydantic import PositiveFloat

from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.section import BelowOne, Fraction, NonNegativeFloat, PositiveInt, Section


class Optimisation(Section):
    """What SFT and PPO optimisers share."""

    lora: Lora | None = None
    """Train adapters instead of all weights."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, more time."""

    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    """AdamW's decay rates of the two moments."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW's decoupled weight decay."""
    grad_clip: PositiveFloat = 1.0
    """Largest norm of the gradient in one step."""

    # The learning rate over the steps.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_ratio: Fraction = 0.03
    """Share of the steps during which the learning rate rises from 0."""
    min_lr_ratio: Fraction = 0.1
    """Learning rate at the end, as a share of its peak."""

    # Memory and disk.
    micro_batch: PositiveInt = 8
    """Sequences in one forward pass; lower it if memory runs out. Gradients are accumulated."""
    save_every: PositiveInt = 20
    """Optimiser steps between checkpoints, from which `--resume` continues."""
