"""Bytes that a training stage holds all the time: weights, gradients, Adam's moments, and a server's weights.

What is refused before a stage and what `rlsp plan` estimates are the same sum.
"""

from dataclasses import dataclass

from rlsp_cli.recipe.optimisation import Optimisation
from rlsp_cli.recipe.ppo import Ppo

FLOAT32_BYTES, BFLOAT16_BYTES = 4, 2
"""A weight. Trained ones are in float32, frozen and served ones as the engine computes."""
_LEARNING_BYTES = 12
"""A weight's gradient and Adam's two moments, in float32."""


@dataclass(frozen=True)
class Parameters:
    """How many a model has, and how many the output layer alone.

    `trunk` is what a critic copies: the embedding and the layers, and so also an output layer that
    shares the embedding's weights. `adapter` is of one adapter.
    """

    whole: int
    trunk: int
    output: int
    adapter: int = 0


def held_bytes(settings: Optimisation, parameters: Parameters, bfloat16: bool) -> int:
    """Bytes of a stage's models in an engine that computes in bfloat16 or in float32."""
    return _trained(settings, parameters, bfloat16) + _served(settings, parameters, bfloat16)


def _trained(settings: Optimisation, parameters: Parameters, bfloat16: bool) -> int:
    ppo = settings if isinstance(settings, Ppo) else None
    has_critic = ppo is not None and ppo.has_own_critic
    has_prm = ppo is not None and ppo.implicit_prm is not None
    learned = FLOAT32_BYTES + _LEARNING_BYTES

    if settings.lora is not None:
        # The base is there once for all roles; those that learn have an adapter each.
        base = _width(bfloat16) * parameters.whole
        return base + learned * parameters.adapter * (1 + has_critic + has_prm)

    size = learned * (parameters.whole + (parameters.trunk if has_critic else 0))
    if has_prm:
        size += learned * parameters.whole
    if ppo is not None and ppo.has_reference:
        size += FLOAT32_BYTES * parameters.whole
    return size


def _served(settings: Optimisation, parameters: Parameters, bfloat16: bool) -> int:
    """The weights of a vLLM server beside the trainer; none where the engine samples itself."""
    if not isinstance(settings, Ppo) or settings.sampler != "vllm":
        return 0
    if settings.lora is not None:
        return _width(bfloat16) * parameters.whole
    # A server that gets all weights has those of the output layer apart from the embedding.
    return _width(bfloat16) * (parameters.trunk + parameters.output)


def _width(bfloat16: bool) -> int:
    return BFLOAT16_BYTES if bfloat16 else FLOAT32_BYTES
