"""Estimates for one stage: memory on each GPU and GPU-hours, with all that they assume."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.backends.openrlhf.placement import Roles, roles
from rlsp_cli.plan.counts import Counts
from rlsp_cli.plan.disk import Disk, disk_space
from rlsp_cli.plan.gpu import Gpu
from rlsp_cli.plan.host import HostPart, host_memory
from rlsp_cli.plan.hours import GOOD, LONG, POOR, SHORT, Efficiency, Step, Workload, sft_gpu_hours
from rlsp_cli.plan.memory import RoleMemory, busiest_gpu, role_memory
from rlsp_cli.plan.texts import Texts
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe

GIB = 2**30
TERA = 1e12

_PPO_ASSUMPTIONS = (
    "micro-batches of such sequences, at most of the longest allowed; engines sleep while models "
    "that share their GPUs train; what CUDA itself, communication and fragments take, some 2 to 6 "
    "GiB, comes on top",
    "the CPU's memory is without the processes themselves, some 2 to 4 GiB each, and what Ray sets "
    "aside for its object store and does not fill, 30% of it",
    "not counted: start, checkpoints, evaluation, waiting for rewards, moving weights to the "
    "engines",
)


@dataclass(frozen=True)
class Estimate:
    """A stage on GPUs. Pairs are for (short responses, a good use), (the longest, a poor use).

    `busiest` are the bytes on the GPU that holds most, `host` those in the CPU's memory of the
    machine that holds most. The hours are None where the number of steps is unknown.
    """

    stage: str
    gpu: str
    parameters: int
    gpu_hours: tuple[float, float] | None
    step: tuple[Step, Step] | None = None
    memory: tuple[tuple[RoleMemory, ...], tuple[RoleMemory, ...]] | None = None
    busiest: tuple[float, float] | None = None
    host: tuple[HostPart, ...] = ()
    disk: Disk | None = None
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Bytes, seconds and hours, with the sums; `estimate` marks them as no measurement."""
        memory = [list(map(_with_total, models)) for models in self.memory or ()]
        steps = [{**asdict(step), "seconds": step.seconds} for step in self.step or ()]

        return {
            "estimate": True,
            **asdict(self),
            "memory": memory or None,
            "step": steps or None,
            "disk": _with_total(self.disk) if self.disk else None,
        }


def _with_total(part: RoleMemory | Disk) -> dict[str, Any]:
    return {**asdict(part), "total": part.total}


def estimate_ppo(
    recipe: Recipe, ppo: Ppo, shape: ModelShape, gpu: Gpu, counts: Counts, texts: Texts | None
) -> Estimate:
    """PPO on OpenRLHF."""
    found, steps = roles(ppo, recipe.cluster), counts.rollouts
    prompt = min(texts.prompt_tokens, ppo.max_prompt_tokens) if texts else ppo.max_prompt_tokens
    short_response, long_response = SHORT * ppo.max_new_tokens, LONG * ppo.max_new_tokens

    short = Workload(shape, ppo, found, gpu, prompt, short_response)
    long = Workload(shape, ppo, found, gpu, prompt, long_response)
    hours = (short.gpu_hours(steps, GOOD), long.gpu_hours(steps, POOR)) if steps else None

    # Time is a matter of means, memory of the longest sequence that may come.
    longest = ppo.max_prompt_tokens + ppo.max_new_tokens
    least = role_memory(shape, ppo, found, gpu, prompt + short_response)
    most = role_memory(shape, ppo, found, gpu, longest)
    busiest = busiest_gpu(least, found, ppo), busiest_gpu(most, found, ppo)
    cache = least[-1].cache  # the engines come last

    origin = texts.origin if texts else "the limit: the data is not read"
    return Estimate(
        stage="ppo",
        gpu=gpu.name,
        parameters=shape.parameters,
        gpu_hours=hours,
        step=(short.step(GOOD), long.step(POOR)),
        memory=(least, most),
        busiest=busiest,
        host=host_memory(shape, ppo, found, recipe.cluster.gpus_per_node, longest),
        disk=disk_space(shape, ppo, steps),
        warnings=tuple(_memory_warnings(shape, ppo, found, gpu, cache, busiest)),
        assumptions=(
            _sheet(gpu),
            _compute(GOOD, POOR),
            _bandwidth(GOOD, POOR),
            f"responses of {short_response:.0f} to {long_response:.0f} tokens on average, "
            f"after prompts of {prompt:.0f} tokens ({origin})",
            *_PPO_ASSUMPTIONS,
        ),
    )


def estimate_sft(
    recipe: Recipe, shape: ModelShape, gpu: Gpu, counts: Counts, texts: Texts | None
) -> Estimate | None:
    """SFT on GPUs; None where the data cannot be read."""
    sft = recipe.sft
    if sft is None or texts is None or counts.optimizer_steps is None:
        return None

    length = min(texts.prompt_tokens + texts.response_tokens, sft.max_length)
    tokens = counts.optimizer_steps * sft.batch * length
    good = sft_gpu_hours(shape, sft, tokens, gpu, GOOD)
    poor = sft_gpu_hours(shape, sft, tokens, gpu, POOR)

    learned = f"{tokens / 1e6:.3g} million tokens ({texts.origin})"
    return Estimate(
        stage="sft",
        gpu=gpu.name,
        parameters=shape.parameters,
        gpu_hours=(good, poor),
        assumptions=(_sheet(gpu), learned, _compute(GOOD, POOR)),
    )


def _sheet(gpu: Gpu) -> str:
    memory, flops, bandwidth = gpu.memory / GIB, gpu.flops / TERA, gpu.bandwidth / TERA
    sizes = f"{memory:.0f} GiB, {flops:.0f} TFLOP/s, {bandwidth:.2f} TB/s"
    return f"every GPU is an NVIDIA {gpu.name.upper()}: {sizes}"


def _compute(good: Efficiency, poor: Efficiency) -> str:
    return f"{good.compute:.0%} to {poor.compute:.0%} of the GPU's operations are put to use"


def _bandwidth(good: Efficiency, poor: Efficiency) -> str:
    return (
        f"{good.bandwidth:.0%} to {poor.bandwidth:.0%} of its bandwidth are put to use in sampling"
    )


def _memory_warnings(
    shape: ModelShape, ppo: Ppo, found: Roles, gpu: Gpu, cache: float, busiest: tuple[float, float]
) -> Iterator[str]:
    """What may not fit. Estimates warn and never refuse."""
    least, most = busiest
    if most > gpu.memory:
        size, when = most, "with the longest sequences"
        if least > gpu.memory:
            size, when = least, "even with short responses"

        yield (
            f"one GPU would hold {size / GIB:.0f} of {gpu.memory / GIB:.0f} GiB {when}; "
            f"{_relief(ppo, found)}"
        )

    # vLLM refuses to start when a single sequence does not fit.
    longest = shape.kv_bytes * (ppo.max_prompt_tokens + ppo.max_new_tokens)
    if cache * found.tensor_parallel < longest:
        yield (
            "an engine has no room for one response; "
            "raise ppo.openrlhf.engines.gpu_memory or tensor_parallel"
        )


def _relief(ppo: Ppo, found: Roles) -> str:
    """What would lower the memory, the cheapest first."""
    ways = {
        "ppo.gradient_checkpointing: true": not ppo.gradient_checkpointing,
        "a smaller ppo.micro_batch": ppo.micro_batch > 1,
        "ppo.openrlhf.sharding: zero3": ppo.openrlhf.sharding != "zero3" and found.actor > 1,
        "ppo.openrlhf.offload: [optimizer]": "optimizer" not in ppo.openrlhf.offload,
        "more GPUs": True,
    }
    return "try " + ", ".join(way for way, is_open in ways.items() if is_open)
