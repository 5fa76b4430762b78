"""The language-model head alone: hidden states to logits, as the model itself makes them.

Some models scale the logits or bound them afterwards. Whether what is known of that is all is found
by trying, with a pass through the whole model (`trial.py`).
"""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

_FACTORS = ("logit_scale", "lm_head_multiplier")
"""Names in a configuration of a number that logits are multiplied by: Cohere's and Falcon H1's."""

_DIVISORS = ("logits_scaling",)
"""Names of a number that they are divided by: Granite's."""

_BOUNDS = ("final_logit_softcapping", "logits_soft_cap")
"""Names of a bound c, logits becoming c tanh(logits / c): Gemma 2's and RecurrentGemma's."""


def head_of(model: PreTrainedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """(..., D) hidden states -> (..., V) logits."""
    layer, config = model.get_output_embeddings(), model.config.get_text_config()
    factor = 1.0
    for name in _FACTORS:
        factor *= getattr(config, name, None) or 1.0
    for name in _DIVISORS:
        factor /= getattr(config, name, None) or 1.0
    bound = next((getattr(config, name) for name in _BOUNDS if getattr(config, name, None)), None)

    def head(states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = layer(states)
        if factor != 1.0:
            logits = logits * factor
        return logits if bound is None else bound * torch.tanh(logits / bound)

    return head
