"""The keys of `ppo.openrlhf`: what OpenRLHF can do beyond the embedded engine."""

from typing import Annotated, Any, Literal

from pydantic import Field

from rlsp_cli.recipe.section import PositiveInt, Section


class Placement(Section):
    """Which models share GPUs, and how many each has; by default an even split."""

    share: Literal["all", "actor_reference", "none"] = "all"
    """Models that share GPUs.

    `all`: every model on every GPU, in turns; `actor_reference`: these two; `none`: no two."""
    actor: PositiveInt | None = None
    """GPUs of the policy that is trained."""
    reference: PositiveInt | None = None
    """GPUs of the frozen reference; the actor's, if they are shared."""
    critic: PositiveInt | None = None
    """GPUs of the critic."""


class Engines(Section):
    """The vLLM engines that sample rollouts."""

    count: PositiveInt | None = None
    """Number of engines; by default as many as the GPUs allow."""
    tensor_parallel: PositiveInt = 1
    """GPUs of one engine; more if the model does not fit on one."""
    gpu_memory: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU's memory for an engine; by default 0.6 if models share GPUs, else 0.9."""
    prefix_caching: bool | None = None
    """Keep the KV cache of common prefixes; by default if prompts have several samples."""
    eager: bool = False
    """Run without CUDA graphs: a faster start, slower sampling."""


class OpenRlhf(Section):
    """How OpenRLHF trains. These keys have no effect on another backend."""

    placement: Placement = Placement()
    """Which models share GPUs."""
    engines: Engines = Engines()
    """How rollouts are sampled."""
    sharding: Literal["none", "zero1", "zero2", "zero3"] = "zero2"
    """Shard states over a model's GPUs, instead of a copy on each: DeepSpeed ZeRO 1 to 3."""
    offload: tuple[Literal["optimizer", "reference"], ...] = ()
    """States to keep in CPU memory: Adam's; the reference's weights, with `zero3`."""
    packing: bool = False
    """Pack several responses into one sequence, without padding."""
    ring_attention: PositiveInt = 1
    """GPUs that share one long sequence (arXiv 2310.01889); needs `packing`."""
    micro_rollout_batch: PositiveInt | None = None
    """Responses in one forward pass without gradients; by default `micro_batch`."""
    async_rollout: Literal["none", "full", "partial"] = "none"
    """Sample the next rollout while training; `partial` also updates weights within responses."""
    quiet_limit_s: PositiveInt = 3600
    """Seconds without progress after which a job on Ray counts as hung."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Keys to pass on to OpenRLHF, checked against its own parser."""
