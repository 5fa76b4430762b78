"""An estimate of what the embedded engine holds in memory, of the GPU or else of the machine."""

from dataclasses import dataclass

from rlsp_cli.backends.local.held import BFLOAT16_BYTES, Parameters, held_bytes
from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.plan.memory import activations
from rlsp_cli.plan.texts import Texts
from rlsp_cli.recipe.optimisation import Optimisation
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft

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
        bfloat16 = in_16_bits(recipe)
    if stage == "sft" and recipe.sft:
        return _sft(recipe.sft, shape, texts, bfloat16)
    if stage == "ppo" and recipe.ppo:
        return _ppo(recipe.ppo, shape, texts, bfloat16)
    return None


def _sft(sft: Sft, shape: ModelShape, texts: Texts, bfloat16: bool) -> Embedded:
    tokens = sft.micro_batch * min(texts.prompt_tokens + texts.response_tokens, sft.max_length)
    states = held_bytes(sft, _parameters(sft, shape), bfloat16)
    passing = _CHUNK_BYTES + _kept(sft, shape, tokens, bfloat16)
    return Embedded("sft", shape.parameters, states, passing)


def _ppo(ppo: Ppo, shape: ModelShape, texts: Texts, bfloat16: bool) -> Embedded:
    prompt = min(texts.prompt_tokens, ppo.max_prompt_tokens)
    length = prompt + ppo.max_new_tokens
    states = held_bytes(ppo, _parameters(ppo, shape), bfloat16)

    training = _CHUNK_BYTES + _kept(ppo, shape, ppo.micro_batch * length, bfloat16)
    rows = min(ppo.decode_batch, ppo.responses)
    decoding = rows * length * shape.kv_bytes * (1 if bfloat16 else 2)
    if ppo.sampler == "vllm":
        # The server keeps its cache while the trainer trains.
        return Embedded("ppo", shape.parameters, states + decoding, training)
    return Embedded("ppo", shape.parameters, states, max(training, decoding))


def _parameters(settings: Optimisation, shape: ModelShape) -> Parameters:
    adapter = learning_weights(settings, shape, 0)
    return Parameters(shape.parameters, shape.trunk, shape.embedding, adapter)


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
    # Autocast keeps a copy of each trained weight in 16 bits for the backward pass.
    return in_16_bits + (BFLOAT16_BYTES * shape.trunk if settings.lora is None else 0)


def in_16_bits(recipe: Recipe) -> bool:
    """Whether the engine computes in 16 bits, as far as can be told without measuring the CPU."""
    if recipe.model.precision == "auto":
        return recipe.cluster.gpus_per_node > 0
    return recipe.model.precision == "bfloat16"
