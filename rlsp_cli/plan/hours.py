"""An estimate of how long training takes, as a range between a good and a poor use of the GPUs.

A token costs 2N operations forwards and 4N more backwards (arXiv 2001.08361, section 2.1), and 2N
again where the forward pass is repeated. Sampling is bound by memory: each token reads its share of
the weights, and its own keys and values. docs/plan.md sets the result beside published runs.
"""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.backends.openrlhf.placement import Roles
from rlsp_cli.plan.gpu import Gpu
from rlsp_cli.plan.memory import engine_share
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.sft import Sft


@dataclass(frozen=True)
class Efficiency:
    """Shares of a GPU's peak: `compute` in training and forward passes, `bandwidth` in sampling."""

    compute: float
    bandwidth: float


GOOD, POOR = Efficiency(0.55, 0.8), Efficiency(0.2, 0.25)
SHORT, LONG = 0.25, 1.0
"""Mean response length as a share of `max_new_tokens`; 0.14 to 0.9 in the paper's figures."""
_HOUR_S = 3600
_WEIGHT_BYTES = 2
"""A weight in bfloat16."""


@dataclass(frozen=True)
class Step:
    """Seconds of one rollout step, by phase; asynchronous sampling overlaps the others."""

    generate: float
    forward: float
    train: float
    overlap: bool = False

    @property
    def seconds(self) -> float:
        """The whole step."""
        rest = self.forward + self.train
        return max(self.generate, rest) if self.overlap else self.generate + rest


@dataclass(frozen=True)
class Workload:
    """What a PPO job asks of which GPUs, with mean tokens of prompts and responses."""

    shape: ModelShape
    ppo: Ppo
    roles: Roles
    gpu: Gpu
    prompt_tokens: float
    response_tokens: float

    @property
    def responses(self) -> int:
        """Responses of one rollout."""
        return self.ppo.responses

    @property
    def tokens(self) -> float:
        """Tokens of one rollout, prompts included."""
        return self.responses * (self.prompt_tokens + self.response_tokens)

    def step(self, use: Efficiency) -> Step:
        """Seconds of one rollout step."""
        roles = self.roles
        gpus = {"actor": roles.actor, "reference": roles.reference, "critic": roles.critic}

        # One forward pass of each model over the rollout, 2N operations a token.
        forward = {}
        for role, count in gpus.items():
            if count:
                flops = 2 * self.shape.parameters * self.tokens
                forward[role] = flops / (count * self.gpu.flops * use.compute)

        # Training is counted in such passes; the reference is not trained.
        passes = self.ppo.epochs * _train_flops(self.ppo.gradient_checkpointing) / 2
        train = {role: passes * time for role, time in forward.items() if role != "reference"}

        return Step(
            generate=_generate(self, use),
            forward=self._slowest_set(forward),
            train=self._slowest_set(train),
            overlap=self.ppo.openrlhf.async_rollout != "none",
        )

    def gpu_hours(self, steps: int, use: Efficiency) -> float:
        """Hours of all GPUs, those that wait included."""
        return steps * self.step(use).seconds * self.roles.gpus / _HOUR_S

    def _slowest_set(self, seconds: dict[str, float]) -> float:
        """Seconds until all are done: models on the same GPUs take turns."""
        together = []
        for names, _ in self.roles.placement_groups:
            together.append(sum(seconds.get(role, 0) for role in names.split(" + ")))
        return max(together)


def sft_gpu_hours(shape: ModelShape, sft: Sft, tokens: float, gpu: Gpu, use: Efficiency) -> float:
    """GPU-hours of learning so many tokens."""
    has_adapters = sft.lora is not None
    each = _train_flops(sft.gradient_checkpointing, has_adapters)
    return each * shape.parameters * tokens / (gpu.flops * use.compute) / _HOUR_S


def _train_flops(checkpointing: bool, has_adapters: bool = False) -> int:
    """Operations for each parameter and token in a forward and a backward pass."""
    # Backwards as much again for the inputs and for the weights; frozen weights need no gradient.
    flops = 4 if has_adapters else 6

    # With checkpointing the forward pass is repeated.
    return flops + (2 if checkpointing else 0)


def _generate(work: Workload, use: Efficiency) -> float:
    """Seconds of sampling a rollout: bound by bytes, by operations, or by the longest response."""
    shape, gpus = work.shape, work.roles.tensor_parallel
    weights = _WEIGHT_BYTES * shape.parameters
    responses = work.responses / work.roles.engines
    bandwidth = gpus * work.gpu.bandwidth * use.bandwidth
    flops = gpus * work.gpu.flops * use.compute

    # As many responses at once as have room for their keys and values beside the weights.
    length = work.prompt_tokens + work.response_tokens
    space = engine_share(work.ppo) * work.gpu.memory * gpus - weights
    at_once = min(max(space / (shape.kv_bytes * length), 1), responses)

    # A token reads its share of the weights, and the keys and values of what came before it: on
    # average those of the prompt and of half the response.
    read = weights / at_once + shape.kv_bytes * (work.prompt_tokens + work.response_tokens / 2)
    by_bytes = responses * work.response_tokens * read / bandwidth

    # A token costs 2 operations a parameter, as many as its weights have bytes.
    by_flops = weights * responses * work.response_tokens / flops
    prompts = weights * responses * work.prompt_tokens / flops

    # The last response ends alone, and reads all weights for each of its tokens.
    longest = work.ppo.max_new_tokens * weights / bandwidth

    return max(by_bytes, longest, by_flops) + prompts
