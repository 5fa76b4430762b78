"""The keys of `sft.lora` and `ppo.lora`."""

from typing import Literal

from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685) instead of full fine-tuning; merged at the end."""

    rank: PositiveInt = 32
    """Rank of the adapters."""
    alpha: PositiveInt = 64
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout on the adapters' input; PPO has none."""
    targets: tuple[str, ...] = ()
    """Names of the layers that get adapters; by default all linear ones but the head."""
    bits: Literal[4, 8] | None = None
    """Load the frozen weights in 4 bits (QLoRA, arXiv 2305.14314) or 8 bits; for `axolotl`."""
    keep_adapter: bool = False
    """Write the adapter too, in peft's layout, to `adapter` in the folder of the merged model."""
