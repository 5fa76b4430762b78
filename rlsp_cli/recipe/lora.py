"""The keys of `sft.lora` and `ppo.lora`."""

from typing import Literal

from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685) in place of full fine-tuning; merged into the model at the end."""

    rank: PositiveInt = 32
    """Rank of the adapters."""
    alpha: PositiveInt = 64
    """Scale of the adapters; they are multiplied by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout on the adapters' input, in SFT."""
    targets: tuple[str, ...] = ()
    """Names of the layers that get adapters; all linear ones but the head when not given."""
    bits: Literal[4, 8] | None = None
    """Load the frozen weights in 4 bits (QLoRA, arXiv 2305.14314) or 8 bits; only `axolotl` can."""
    keep_adapter: bool = False
    """Write the adapter alone too, in peft's layout, as `adapter` beside the merged model."""
