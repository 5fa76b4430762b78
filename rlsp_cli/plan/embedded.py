"""An estimate of what the embedded engine holds in memory, of the GPU or else of the machine."""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.plan.counts import Texts
from rlsp_cli.plan.memory import activations
from rlsp_cli.recipe.schema import Optimisation, Ppo, Recipe, Sft

_FLOAT32_BYTES, _BFLOAT16_BYTES = 4, 2
"""A weight. Autocast too keeps a copy of a trained weight in 16 bits for the backward pass."""
_LEARNING_BYTES = 12
"""A weight's gradient and Adam's two moments."""
_CHUNK_BYTES = 16 * 2**24
"""A chunk of logits, their probabilities and both gradients in float32; `engine/logprobs.py` has its size."""


@dataclass(frozen=True)
class Embedded:
    """Bytes of one stage: `states` always, `passing` while a micro-batch goes through the model.

    States are weights, gradients and Adam's moments, and all of a server that samples. What PyTorch
    and its libraries take themselves, half a GiB to one, comes on top.
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
    recipe: Recipe, stage: str, shape: ModelShape, texts: Texts, bfloat16: bool | None = None
) -> Embedded | None:
    """The estimate of a training stage; None for evaluation.

    `bfloat16` says what the engine computes in, where that was measured.
    """
    if bfloat16 is None:
        bfloat16 = _in_16_bits(recipe)
    if stage == "sft" and recipe.sft:
        return _sft(recipe.sft, shape, texts, bfloat16)
    if stage == "ppo" and recipe.ppo:
        return _ppo(recipe.ppo, shape, texts, bfloat16)
    return None


def _sft(sft: Sft, shape: ModelShape, texts: Texts, bfloat16: bool) -> Embedded:
    tokens = sft.micro_batch * min(texts.prompt_tokens + texts.response_tokens, sft.max_length)
    states = _weights(sft, shape, bfloat16) + _learning(sft, shape, shape.parameters)
    passing = _CHUNK_BYTES + _kept(sft, shape, tokens, bfloat16)
    return Embedded("sft", shape.parameters, states, passing)


def _ppo(ppo: Ppo, shape: ModelShape, texts: Texts, bfloat16: bool) -> Embedded:
    """Policy and, where the recipe has a use for them, the frozen reference and a critic with layers of its own."""
    prompt = min(texts.prompt_tokens, ppo.max_prompt_tokens)
    length = prompt + ppo.max_new_tokens
    has_critic = ppo.estimator == "gae" and ppo.critic == "own"

    states = _weights(ppo, shape, bfloat16) + _learning(ppo, shape, shape.parameters)
    if has_critic:
        states += _learning(ppo, shape, shape.trunk)
    if ppo.lora is None:
        states += _FLOAT32_BYTES * shape.trunk if has_critic else 0
        states += _FLOAT32_BYTES * shape.parameters if ppo.uses_kl else 0

    training = _CHUNK_BYTES + _kept(ppo, shape, ppo.micro_batch * length, bfloat16)
    rows = min(ppo.decode_batch, ppo.responses)
    decoding = rows * length * shape.kv_bytes * (1 if bfloat16 else 2)
    if ppo.sampler == "vllm":
        # The server keeps its weights and its cache while the trainer trains.
        # Of all weights, it has those of the output layer apart from the embedding.
        width = _BFLOAT16_BYTES if bfloat16 else _FLOAT32_BYTES
        served = shape.parameters if ppo.lora else shape.trunk + shape.embedding
        states += width * served + decoding
        return Embedded("ppo", shape.parameters, states, training)
    return Embedded("ppo", shape.parameters, states, max(training, decoding))


def _weights(settings: Optimisation, shape: ModelShape, bfloat16: bool) -> float:
    """The policy's weights; those that adapters leave frozen are as wide as the computation."""
    narrow = settings.lora is not None and bfloat16
    return (_BFLOAT16_BYTES if narrow else _FLOAT32_BYTES) * shape.parameters


def _learning(settings: Optimisation, shape: ModelShape, parameters: int) -> float:
    """What comes on top for weights that learn: gradients and Adam's moments, or whole adapters."""
    own = _FLOAT32_BYTES if settings.lora else 0
    return (own + _LEARNING_BYTES) * learning_weights(settings, shape, parameters)


def learning_weights(settings: Optimisation, shape: ModelShape, parameters: int) -> int:
    """How many weights learn of a model with so many: all of them, or those of its adapters."""
    if settings.lora is None:
        return parameters
    named = settings.lora.targets or tuple(shape.matrices)
    sizes = [sum(shape.matrices[name]) for name in named if name in shape.matrices]
    return settings.lora.rank * shape.layers * sum(sizes)


def _kept(settings: Optimisation, shape: ModelShape, tokens: float, bfloat16: bool) -> float:
    """What one model keeps for its backward pass."""
    in_16_bits = activations(shape, tokens, settings.gradient_checkpointing)
    if not bfloat16:
        return 2 * in_16_bits
    return in_16_bits + (_BFLOAT16_BYTES * shape.trunk if settings.lora is None else 0)


def _in_16_bits(recipe: Recipe) -> bool:
    """Whether the engine computes in 16 bits, as far as can be told without measuring the CPU."""
    if recipe.model.precision == "auto":
        return recipe.cluster.gpus_per_node > 0
    return recipe.model.precision == "bfloat16"
