"""The keys of `sft.axolotl`: what Axolotl can do and the embedded engine does without."""

from typing import Any, Literal

from pydantic import Field

from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685) in place of full fine-tuning; merged into the model at the end."""

    rank: PositiveInt = 32
    """Rank of the adapters."""
    alpha: PositiveInt = 64
    """Scale of the adapters; they are multiplied by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout on the adapters' input."""
    targets: tuple[str, ...] = ()
    """Names of the layers that get adapters; all linear ones when not given."""
    bits: Literal[4, 8] | None = None
    """Load the frozen weights in 4 bits (QLoRA, arXiv 2305.14314) or 8 bits."""


class Axolotl(Section):
    """How Axolotl trains; nothing of it has an effect on another backend."""

    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "muon"] = "adamw"
    """AdamW, its 8-bit forms by bitsandbytes, or Muon (AdamW where a weight is no matrix)."""
    packing: bool = False
    """Put several examples into one sequence of `max_length`; they do not see each other."""
    lora: Lora | None = None
    """Train adapters instead of all weights."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    sharding: Literal["none", "zero1", "zero2", "zero3", "fsdp2"] = "none"
    """What GPUs share instead of each holding a copy: DeepSpeed ZeRO 1 to 3, or PyTorch's FSDP2."""
    kernels: tuple[Literal["liger", "cut_cross_entropy"], ...] = ()
    """Fused kernels that save memory on GPUs."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Keys passed through to the backend, checked against its own schema."""
