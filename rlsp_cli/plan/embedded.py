"""An estimate of what the embedded engine holds in memory, of the GPU or else of the machine."""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.plan.counts import Texts
from rlsp_cli.plan.memory import activations
from rlsp_cli.recipe.schema import Ppo, Recipe, Sft

_TRAINED_BYTES = 16
"""A trained parameter: float32 weight, gradient, and Adam's two moments."""
_FROZEN_BYTES = 4
_AUTOCAST_BYTES = 2
"""The copy of a weight in 16 bits that autocast keeps for the backward pass of a trained model."""
_LOGIT_BYTES = 12
"""A logit, its probability and its gradient, in float32."""


@dataclass(frozen=True)
class Embedded:
    """Bytes of one stage: `states` always, `passing` while a micro-batch goes through the model.

    States are weights, gradients and Adam's moments. What PyTorch and its libraries take
    themselves, half a GiB to one, comes on top.
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
    """The estimate of a training stage; None for evaluation, and when `texts` is not known."""
    if texts is None:
        return None
    if stage == "sft" and recipe.sft:
        return _sft(recipe, recipe.sft, shape, texts)
    if stage == "ppo" and recipe.ppo:
        return _ppo(recipe, recipe.ppo, shape, texts)
    return None


def _sft(recipe: Recipe, sft: Sft, shape: ModelShape, texts: Texts) -> Embedded:
    tokens = sft.micro_batch * min(texts.prompt_tokens + texts.response_tokens, sft.max_length)
    passing = tokens * shape.vocabulary * _LOGIT_BYTES + _kept(recipe, shape, tokens)
    return Embedded("sft", shape.parameters, _TRAINED_BYTES * shape.parameters, passing)


def _ppo(recipe: Recipe, ppo: Ppo, shape: ModelShape, texts: Texts) -> Embedded:
    """Policy, frozen reference and, with a model of its own, the critic."""
    prompt = min(texts.prompt_tokens, ppo.max_prompt_tokens)
    tokens = ppo.micro_batch * (prompt + ppo.max_new_tokens)
    has_critic = ppo.estimator == "gae" and ppo.critic == "own"

    states = (_TRAINED_BYTES + _FROZEN_BYTES) * shape.parameters
    states += _TRAINED_BYTES * shape.trunk if has_critic else 0

    # The losses are added before the backward pass, so both models' activations are kept until it.
    kept = (1 + has_critic) * _kept(recipe, shape, tokens)
    passing = tokens * shape.vocabulary * _LOGIT_BYTES + kept
    return Embedded("ppo", shape.parameters, states, passing)


def _kept(recipe: Recipe, shape: ModelShape, tokens: float) -> float:
    """What one model keeps for its backward pass."""
    in_16_bits = activations(shape, tokens, checkpointing=False)

    # Only on a GPU does the engine compute in 16 bits; its weights stay float32.
    if recipe.cluster.gpus_per_node > 0 and recipe.model.precision != "float32":
        return in_16_bits + _AUTOCAST_BYTES * shape.trunk
    return 2 * in_16_bits
