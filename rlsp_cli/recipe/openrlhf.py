"""The keys of `ppo.openrlhf`: what OpenRLHF can do and the embedded engine does without."""

from typing import Annotated, Any, Literal

from pydantic import Field

from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


class Placement(Section):
    """Which models share GPUs, and how many each has; what is not given is shared out evenly."""

    share: Literal["all", "actor_reference", "none"] = "all"
    """`all`: every model on every GPU, taking turns; `actor_reference`: these two together; `none`: each its own."""
    actor: PositiveInt | None = None
    """GPUs of the policy that is trained."""
    reference: PositiveInt | None = None
    """GPUs of the frozen reference; those of the actor where they are shared."""
    critic: PositiveInt | None = None
    """GPUs of the critic."""


class Engines(Section):
    """The vLLM engines that sample rollouts."""

    count: PositiveInt | None = None
    """Engines; as many as their GPUs allow when not given."""
    tensor_parallel: PositiveInt = 1
    """GPUs that one engine is spread over."""
    gpu_memory: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU's memory that an engine takes; 0.6 where models share GPUs, else 0.9, when not given."""
    prefix_caching: bool | None = None
    """Keep the attention states of common prefixes; where prompts have several samples, when not given."""
    eager: bool = False
    """Run without CUDA graphs: starts faster, samples more slowly."""


class OpenRlhf(Section):
    """How OpenRLHF trains; nothing of it has an effect on another backend."""

    placement: Placement = Placement()
    """Which models share GPUs."""
    engines: Engines = Engines()
    """How rollouts are sampled."""
    sharding: Literal["none", "zero1", "zero2", "zero3"] = "zero2"
    """What the GPUs of a model share instead of each holding a copy: DeepSpeed ZeRO 1 to 3."""
    offload: tuple[Literal["optimizer", "reference"], ...] = ()
    """What waits in the CPU's memory: Adam's states; the reference's weights, with `zero3`."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    packing: bool = False
    """Put several responses into one sequence without padding."""
    ring_attention: PositiveInt = 1
    """GPUs that share one long sequence (Ring Attention, 2310.01889); needs `packing`."""
    micro_rollout_batch: PositiveInt | None = None
    """Responses in one forward pass that takes no gradient; `micro_batch` when not given."""
    async_rollout: Literal["none", "full", "partial"] = "none"
    """Sample the next rollout during training; `partial` also takes new weights within a response."""
    rollout_correction: Literal["auto", "none", "tis", "icepop"] = "auto"
    """Importance weights, trainer over engines; `tis` caps, `icepop` drops; `auto`: tis if async."""
    dynamic_filtering: tuple[Fraction, Fraction] | None = None
    """Replace prompts whose samples' mean correctness is not between these two (DAPO, 2503.14476)."""
    eval_every: PositiveInt | None = None
    """Rollout steps between evaluations on `data.heldout` while training; none when not given."""
    quiet_limit_s: PositiveInt = 3600
    """Seconds without any progress after which a job on Ray counts as hung, and is examined."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Keys passed through to the backend, checked against its own schema."""
