"""An estimate of what a PPO job holds in the CPU's memory of the machine that holds most.

For Adam's step on the CPU the numbers are those of DeepSpeed's estimators, without and with the
buffers that they add (`estimate_zero2_model_states_mem_needs` and its sibling for stage 3, version
0.19.6); a test compares. An engine that sleeps keeps its weights there, and models that sleep
beside it their gradients and Adam's states.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.backends.openrlhf.placement import Roles, takes_turns
from rlsp_cli.plan.memory import states
from rlsp_cli.recipe.ppo import Ppo

BUFFERS = 1.5
"""How much more DeepSpeed counts for buffers at most."""
_FLOAT_BYTES = 4
_STEP_BYTES = 16
"""Adam's step for a parameter: weight, gradient and two moments in float32."""
_WEIGHT_BYTES = 2.0
"""A weight in bfloat16."""
_TOKEN_BYTES = 48
"""Of a token in a rollout: three int64 and six float32 columns (OpenRLHF's `Experience`)."""
_COPIES = 2
"""A rollout before and after its log-probabilities."""


@dataclass(frozen=True)
class HostPart:
    """Bytes of one thing on a machine, at least and at most."""

    what: str
    low: float
    high: float


def zero_host(parameters: float, sharding: str, gpus: int, nodes: int, factor: float = 1) -> float:
    """Bytes on each of `nodes` machines for Adam's step on the CPU; `gpus` in all share a model."""
    if sharding == "zero3":
        return _STEP_BYTES * parameters / nodes * factor

    # Below stage 3 each process holds its own gradients in float32.
    return max(_FLOAT_BYTES * gpus, _STEP_BYTES) * parameters * factor


def host_memory(
    shape: ModelShape, ppo: Ppo, found: Roles, gpus_per_node: int, length: float
) -> tuple[HostPart, ...]:
    """The parts on the machine that holds most; `length` is the longest sequence in tokens."""
    sets = []
    for names, gpus in found.placement_groups:
        parts = _parts(names.split(" + "), shape, ppo, found, gpus_per_node)
        sets.append((list(parts), gpus))

    rollout = ppo.responses * length * _TOKEN_BYTES * _COPIES
    store = HostPart("rollout in Ray's object store", rollout / _COPIES, rollout)
    return *_busiest(sets, gpus_per_node), store


def _busiest(sets: Sequence[tuple[list[HostPart], int]], gpus_per_node: int) -> Iterator[HostPart]:
    """Parts of the sets that fill one machine's GPUs, those that need most for each GPU first."""

    def need_of_each_gpu(one: tuple[list[HostPart], int]) -> float:
        parts, gpus = one
        return sum(part.high for part in parts) / min(gpus, gpus_per_node)

    free = gpus_per_node
    for parts, gpus in sorted(sets, key=need_of_each_gpu, reverse=True):
        here = min(gpus, gpus_per_node)
        if free >= here:
            free -= here
            yield from parts


def _parts(
    names: Iterable[str], shape: ModelShape, ppo: Ppo, found: Roles, gpus_per_node: int
) -> Iterator[HostPart]:
    """What a set of models that share GPUs has on one machine."""
    gpus = {"actor": found.actor, "critic": found.critic, "reference": found.reference}
    weights = _WEIGHT_BYTES * shape.parameters

    for name in names:
        nodes = ceil(gpus.get(name, 0) / gpus_per_node)
        if name in ("actor", "critic"):
            yield from _trained(name, shape, ppo, gpus[name], nodes)

        elif name == "reference" and "reference" in ppo.openrlhf.offload:
            yield HostPart("reference: weights", weights / nodes, weights / nodes * BUFFERS)

        elif name == "engines" and takes_turns(ppo):
            # Each engine has the whole model, spread over its own GPUs.
            here = min(found.engines * found.tensor_parallel, gpus_per_node)
            asleep = weights * here / found.tensor_parallel
            yield HostPart("engines: weights while they sleep", asleep, asleep)


def _trained(name: str, shape: ModelShape, ppo: Ppo, gpus: int, nodes: int) -> Iterator[HostPart]:
    parameters = shape.parameters if name == "actor" else shape.trunk

    if "optimizer" in ppo.openrlhf.offload:
        low = zero_host(parameters, ppo.openrlhf.sharding, gpus, nodes)
        high = zero_host(parameters, ppo.openrlhf.sharding, gpus, nodes, BUFFERS)
        yield HostPart(f"{name}: gradients and Adam's states", low, high)

    # Adam's states that lie on the CPU always need no room for sleep.
    elif takes_turns(ppo):
        _, gradients, optimizer = states(name, shape, ppo, gpus)
        asleep = (gradients + optimizer) * gpus / nodes
        yield HostPart(f"{name}: gradients and Adam's states while it sleeps", asleep, asleep)
