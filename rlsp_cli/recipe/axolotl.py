"""The keys of `sft.axolotl`: what Axolotl can do beyond the embedded engine."""

from typing import Any, Literal

from pydantic import Field

from rlsp_cli.recipe.section import Section


class Axolotl(Section):
    """How Axolotl trains. These keys have no effect on another backend."""

    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "muon"] = "adamw"
    """AdamW, its 8-bit forms of bitsandbytes, or Muon (with AdamW for what is no matrix)."""
    packing: bool = False
    """Pack several examples into one sequence of `max_length`, masked from each other."""
    sharding: Literal["none", "zero1", "zero2", "zero3", "fsdp2"] = "none"
    """Shard states over GPUs, instead of a copy on each: DeepSpeed ZeRO 1 to 3, or FSDP2."""
    kernels: tuple[Literal["liger", "cut_cross_entropy"], ...] = ()
    """Fused kernels, which save GPU memory."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Keys to pass on to Axolotl, checked against its own schema."""
