"""An estimate of what the embedded engine holds in memory: of the GPU, or of the machine where there is none."""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.plan.counts import Texts
from rlsp_cli.plan.memory import activations
from rlsp_cli.recipe.schema import Ppo, Recipe, Sft

_TRAINED = 16
"""Bytes of a trained parameter: float32 weights, gradients, and Adam's two moments."""
_FROZEN = 4
_AUTOCAST = 2
"""Bytes of the copy of a weight in 16 bits that autocast keeps for the backward pass of a trained model."""
_LOGIT_BYTES = 12
"""A logit, its probability and its gradient, in float32."""


@dataclass(frozen=True)
class Embedded:
    """Bytes of one stage: weights, gradients and Adam's moments, and a micro-batch on its way through the model.

    What PyTorch and its libraries take themselves, half a GiB to one, comes on top.
    """

    stage: str
    parameters: int
    states: float
    passing: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.states + self.passing


def embedded_memory(
    recipe: Recipe, stage: str, shape: ModelShape, texts: Texts | None
) -> Embedded | None:
    """The estimate of a training stage; None for evaluation, and where the length of examples is not known."""
    if texts is None:
        return None
    if stage == "sft" and recipe.sft:
        return _sft(recipe, recipe.sft, shape, texts)
    return _ppo(recipe, recipe.ppo, shape, texts) if stage == "ppo" and recipe.ppo else None


def _sft(recipe: Recipe, sft: Sft, shape: ModelShape, texts: Texts) -> Embedded:
    tokens = sft.micro_batch * min(texts.prompt_tokens + texts.response_tokens, sft.max_length)
    passing = tokens * shape.vocabulary * _LOGIT_BYTES + _kept(recipe, shape, tokens)
    return Embedded("sft", shape.parameters, _TRAINED * shape.parameters, passing)


def _ppo(recipe: Recipe, ppo: Ppo, shape: ModelShape, texts: Texts) -> Embedded:
    """Policy, frozen reference and, with one of its own, the critic, whose activations are kept beside the policy's."""
    tokens = ppo.micro_batch * (
        min(texts.prompt_tokens, ppo.max_prompt_tokens) + ppo.max_new_tokens
    )
    has_critic = ppo.estimator == "gae" and ppo.critic == "own"
    states = (_TRAINED + _FROZEN) * shape.parameters + (_TRAINED * shape.trunk if has_critic else 0)
    passing = tokens * shape.vocabulary * _LOGIT_BYTES + (1 + has_critic) * _kept(
        recipe, shape, tokens
    )
    return Embedded("ppo", shape.parameters, states, passing)


def _kept(recipe: Recipe, shape: ModelShape, tokens: float) -> float:
    """What one model keeps for its backward pass: activations, under autocast in 16 bits and with such weights."""
    in_16_bits = activations(shape, tokens, checkpointing=False)
    if recipe.cluster.gpus_per_node > 0 and recipe.model.precision != "float32":
        return in_16_bits + _AUTOCAST * shape.trunk
    return 2 * in_16_bits
