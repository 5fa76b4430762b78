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
from rlsp_cli.recipe.ppo import Ppo

_WEIGHT_BYTES = 2
"""A weight in bfloat16."""
_GRADIENT_BYTES = 2
_ADAM_BYTES = 12
"""A weight in float32, and Adam's two moments of it."""
_LOGIT_BYTES = 12
"""A logit in bfloat16 and in float32, and the gradients of both."""
_GATHERED_BYTES = 4
"""A weight that stage 3 brings together, and its gradient."""

_STAGES = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3}
_ENGINE_SHARE_ASLEEP, _ENGINE_SHARE = 0.6, 0.9
"""vLLM's share of a GPU: where it sleeps while others work, and where it has the GPU alone."""


@dataclass(frozen=True)
class RoleMemory:
    """Bytes on each GPU of one model.

    `passing` are activations and logits, which are there only while the model works.
    """

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
    stage = _STAGES[sharding]

    def each(bytes_each: int, first_stage: int) -> float:
        return bytes_each * parameters / (ranks if stage >= first_stage else 1)

    return [each(_WEIGHT_BYTES, 3), each(_GRADIENT_BYTES, 2), each(_ADAM_BYTES, 1)]


def activations(shape: ModelShape, tokens: float, checkpointing: bool) -> float:
    """Bytes that the blocks keep for the backward pass of `tokens`."""
    keys = shape.kv_heads * shape.head_size
    block = 20 * shape.hidden + 4 * keys + 8 * shape.intermediate + 4 * shape.heads + 8
    if not checkpointing:
        return tokens * (shape.layers * block)

    # Only each block's input is kept, 2 bytes a number, and one block in full while it is computed
    # again.
    return tokens * (shape.layers * 2 * shape.hidden + block)


def engine_share(ppo: Ppo) -> float:
    """Share of a GPU's memory that an engine takes."""
    default = _ENGINE_SHARE_ASLEEP if takes_turns(ppo) else _ENGINE_SHARE
    return ppo.openrlhf.engines.gpu_memory or default


def states(role: str, shape: ModelShape, ppo: Ppo, gpus: int) -> list[float]:
    """[weights, gradients, Adam's states] of a trained model in bytes on each GPU."""
    parameters = shape.parameters if role == "actor" else shape.trunk
    weights, gradients, optimizer = zero_states(parameters, ppo.openrlhf.sharding, gpus)
    if "optimizer" not in ppo.openrlhf.offload:
        return [weights, gradients, optimizer]

    # With Adam on the CPU the gradients go there as they come, from stage 2 on: so DeepSpeed's own
    # estimators count.
    return [weights, gradients if ppo.openrlhf.sharding == "zero1" else 0, 0]


def role_memory(
    shape: ModelShape, ppo: Ppo, found: Roles, gpu: Gpu, length: float
) -> tuple[RoleMemory, ...]:
    """One entry for each model of the job, the engines last; sequences have `length` tokens."""
    # A ring of GPUs shares each sequence.
    tokens = length / ppo.openrlhf.ring_attention

    models = [_trained("actor", found.actor, shape, ppo, tokens)]
    if found.critic:
        models.append(_trained("critic", found.critic, shape, ppo, tokens))
    if found.reference:
        models.append(_reference(found.reference, shape, ppo, tokens))

    # vLLM fills its share of the GPU with the cache of keys and values.
    weights = _WEIGHT_BYTES * shape.parameters / found.tensor_parallel
    cache = max(engine_share(ppo) * gpu.memory - weights, 0)
    gpus = found.engines * found.tensor_parallel
    return *models, RoleMemory("engines", gpus, weights=weights, cache=cache)


def busiest_gpu(models: Iterable[RoleMemory], found: Roles, ppo: Ppo) -> float:
    """Bytes on the GPU that holds most, among those that different sets of models share."""
    by_role = {model.role: model for model in models}

    needs = []
    for names, _ in found.placement_groups:
        together = [by_role[role] for role in names.split(" + ")]
        needs.append(_together(together, sleeping=takes_turns(ppo)))
    return max(needs)


def _together(models: list[RoleMemory], sleeping: bool) -> float:
    """Bytes of models that share a GPU: what stays, and the most that one has in its turn."""
    trained = [model for model in models if model.role != "engines"]
    engine = sum(model.weights + model.cache for model in models if model.role == "engines")

    # Weights always stay. Models that sleep hand their gradients and Adam's states to the CPU, and
    # have them here only in their turn; others keep them.
    stays = sum(model.weights + (0 if sleeping else model.states) for model in trained)
    turns = [model.passing + (model.states if sleeping else 0) for model in trained]
    return stays + max([engine, *turns])


def _trained(role: str, gpus: int, shape: ModelShape, ppo: Ppo, length: float) -> RoleMemory:
    tokens = ppo.micro_batch * length

    # A critic has one value for each token, and no logits.
    logits = _LOGIT_BYTES * tokens * shape.vocabulary if role == "actor" else 0
    kept = activations(shape, tokens, ppo.gradient_checkpointing)
    passing = kept + logits + gathered(shape, ppo, _GATHERED_BYTES)

    weights, gradients, optimizer = states(role, shape, ppo, gpus)
    return RoleMemory(role, gpus, weights, gradients, optimizer, passing)


def _reference(gpus: int, shape: ModelShape, ppo: Ppo, length: float) -> RoleMemory:
    """Weights alone, and what passes through without gradients: one block's activations, logits."""
    # Only stage 3 shares the weights, or leaves them to the CPU.
    is_zero3 = ppo.openrlhf.sharding == "zero3"
    weights = _WEIGHT_BYTES * shape.parameters / (gpus if is_zero3 else 1)
    if is_zero3 and "reference" in ppo.openrlhf.offload:
        weights = 0

    tokens = (ppo.openrlhf.micro_rollout_batch or ppo.micro_batch) * length
    passing = tokens * (_LOGIT_BYTES // 2 * shape.vocabulary + 8 * shape.intermediate)
    passing += gathered(shape, ppo, _GATHERED_BYTES // 2)
    return RoleMemory("reference", gpus, weights=weights, passing=passing)


def gathered(shape: ModelShape, ppo: Ppo, bytes_each: int) -> float:
    """Bytes of the largest layer, which stage 3 gathers on every GPU; 0 for other stages."""
    if ppo.openrlhf.sharding != "zero3":
        return 0
    return bytes_each * max(shape.embedding, shape.hidden * shape.intermediate)
