"""An estimate of what each model of a PPO job holds on one GPU.

Weights, gradients and Adam's states are those of ZeRO (arXiv 1910.02054, sections 3.1 and 5): 2 + 2
+ 12 bytes for a parameter in mixed precision. Stage 1 shares out Adam's part, stage 2 the gradients
too, stage 3 the weights too.

Activations are the tensors that transformers' Llama saves for the backward pass in bfloat16,
counted with hooks; a test counts them again. The method is that of arXiv 2205.05198, without
attention scores, which today's kernels do not keep.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.backends.openrlhf.placement import Roles, takes_turns
from rlsp_cli.plan.gpu import Gpu
from rlsp_cli.recipe.schema import Ppo

_GATHERED = 4
_LOGIT_BYTES = 12
"""A logit in bfloat16 and in float32, and the gradients of both."""


@dataclass(frozen=True)
class RoleMemory:
    """Bytes on each GPU of one model; `passing` are activations and logits, which are there only while it works."""

    role: str
    gpus: int
    weights: float = 0
    gradients: float = 0
    optimizer: float = 0
    passing: float = 0
    cache: float = 0

    @property
    def states(self) -> float:
        """Gradients and Adam's states, which go to the CPU's memory while a model sleeps."""
        return self.gradients + self.optimizer

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.states + self.passing + self.cache


def zero_states(parameters: float, sharding: str, ranks: int) -> list[float]:
    """[weights, gradients, Adam's states] in bytes on each of `ranks` GPUs."""
    stage = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3}[sharding]
    whole = (2 * parameters, 2 * parameters, 12 * parameters)
    return [
        size / (ranks if stage >= first else 1)
        for size, first in zip(whole, (3, 2, 1), strict=True)
    ]


def activations(shape: ModelShape, tokens: float, checkpointing: bool) -> float:
    """Bytes that the blocks keep for the backward pass; with checkpointing their inputs, and one block in full."""
    keys = shape.kv_heads * shape.head_size
    block = 20 * shape.hidden + 4 * keys + 8 * shape.intermediate + 4 * shape.heads + 8
    return tokens * (
        shape.layers * 2 * shape.hidden + block if checkpointing else shape.layers * block
    )


def engine_share(ppo: Ppo) -> float:
    """Share of a GPU's memory that an engine takes."""
    return ppo.openrlhf.engines.gpu_memory or (0.6 if takes_turns(ppo) else 0.9)


def states(role: str, shape: ModelShape, ppo: Ppo, gpus: int) -> list[float]:
    """[weights, gradients, Adam's states] of a trained model on each GPU.

    With Adam on the CPU the gradients go there as they come, from stage 2 on, as DeepSpeed's own
    estimators say.
    """
    parameters = shape.parameters if role == "actor" else shape.trunk
    weights, gradients, optimizer = zero_states(parameters, ppo.openrlhf.sharding, gpus)
    if "optimizer" not in ppo.openrlhf.offload:
        return [weights, gradients, optimizer]
    return [weights, gradients if ppo.openrlhf.sharding == "zero1" else 0, 0]


def role_memory(
    shape: ModelShape, ppo: Ppo, found: Roles, gpu: Gpu, length: float
) -> tuple[RoleMemory, ...]:
    """One entry for each model of the job, the engines last; micro-batches hold sequences of `length` tokens."""
    tokens = length / ppo.openrlhf.ring_attention
    models = [_trained("actor", found.actor, shape, ppo, tokens)]
    if found.critic:
        models.append(_trained("critic", found.critic, shape, ppo, tokens))
    if found.reference:
        models.append(_reference(found.reference, shape, ppo, tokens))
    weights = 2 * shape.parameters / found.tensor_parallel
    cache = max(engine_share(ppo) * gpu.memory - weights, 0)
    return *models, RoleMemory(
        "engines", found.engines * found.tensor_parallel, weights=weights, cache=cache
    )


def busiest_gpu(models: Iterable[RoleMemory], found: Roles, ppo: Ppo) -> float:
    """Bytes of the set of models that needs most: all that stays, and the most that one of them needs in its turn."""
    by_role = {model.role: model for model in models}
    sets = ([by_role[role] for role in names.split(" + ")] for names, _ in found.asked)
    return max(_together(models, sleeping=takes_turns(ppo)) for models in sets)


def _together(models: list[RoleMemory], sleeping: bool) -> float:
    """Weights always stay; gradients and Adam's states do where models do not sleep."""
    trained = [model for model in models if model.role != "engines"]
    engine = sum(model.weights + model.cache for model in models if model.role == "engines")
    turns = [model.passing + (model.states if sleeping else 0) for model in trained]
    return sum(model.weights + (0 if sleeping else model.states) for model in trained) + max(
        [engine, *turns]
    )


def _trained(role: str, gpus: int, shape: ModelShape, ppo: Ppo, length: float) -> RoleMemory:
    tokens = ppo.micro_batch * length
    logits = _LOGIT_BYTES * tokens * shape.vocabulary if role == "actor" else 0
    passing = (
        activations(shape, tokens, ppo.openrlhf.gradient_checkpointing)
        + logits
        + gathered(shape, ppo, _GATHERED)
    )
    weights, gradients, optimizer = states(role, shape, ppo, gpus)
    return RoleMemory(role, gpus, weights, gradients, optimizer, passing)


def _reference(gpus: int, shape: ModelShape, ppo: Ppo, length: float) -> RoleMemory:
    """Only weights, which only stage 3 shares, or leaves to the CPU; a block's activations and logits pass through."""
    offloaded = "reference" in ppo.openrlhf.offload and ppo.openrlhf.sharding == "zero3"
    weights = 2 * shape.parameters / (gpus if ppo.openrlhf.sharding == "zero3" else 1)
    tokens = (ppo.openrlhf.micro_rollout_batch or ppo.micro_batch) * length
    passing = tokens * (_LOGIT_BYTES // 2 * shape.vocabulary + 8 * shape.intermediate)
    passing += gathered(shape, ppo, _GATHERED // 2)
    return RoleMemory("reference", gpus, weights=0 if offloaded else weights, passing=passing)


def gathered(shape: ModelShape, ppo: Ppo, bytes_each: int) -> float:
    """Bytes of the largest layer, which stage 3 brings together on every GPU; with its gradient four for a weight."""
    return (
        bytes_each * max(shape.embedding, shape.hidden * shape.intermediate)
        if ppo.openrlhf.sharding == "zero3"
        else 0
    )
