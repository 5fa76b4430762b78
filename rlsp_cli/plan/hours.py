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
from rlsp_cli.recipe.schema import Ppo, Sft


@dataclass(frozen=True)
class Efficiency:
    """Shares of a GPU's peak: `compute` in training and forward passes (MFU), `bandwidth` in sampling."""

    compute: float
    bandwidth: float


GOOD, POOR = Efficiency(0.55, 0.8), Efficiency(0.2, 0.25)
SHORT, LONG = 0.25, 1.0
"""Mean response length as a share of `max_new_tokens`; in the paper's figures it is between 0.14 and 0.9."""


@dataclass(frozen=True)
class Step:
    """Seconds of one rollout step, by phase; the first overlaps the others when sampling is asynchronous."""

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
    """What is asked of which GPUs: the model, the settings, who is where, and mean tokens of prompt and response."""

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
        """One rollout step."""
        gpus = {
            "actor": self.roles.actor,
            "reference": self.roles.reference,
            "critic": self.roles.critic,
        }
        seconds = {role: 2 * self.shape.parameters * self.tokens / (n * self.gpu.flops * use.compute)
                   for role, n in gpus.items() if n}  # fmt: skip
        times = self.ppo.epochs * _train_flops(self.ppo.openrlhf.gradient_checkpointing) / 2
        training = {role: times * time for role, time in seconds.items() if role != "reference"}
        overlap = self.ppo.openrlhf.async_rollout != "none"
        return Step(
            _generate(self, use), self._slowest_set(seconds), self._slowest_set(training), overlap
        )

    def gpu_hours(self, steps: int, use: Efficiency) -> float:
        """Hours of all GPUs, those that wait included."""
        return steps * self.step(use).seconds * self.roles.gpus / 3600

    def _slowest_set(self, seconds: dict[str, float]) -> float:
        """Models on the same GPUs take turns, others work at the same time."""
        return max(
            sum(seconds.get(role, 0) for role in names.split(" + "))
            for names, _ in self.roles.asked
        )


def sft_gpu_hours(shape: ModelShape, sft: Sft, tokens: float, gpu: Gpu, use: Efficiency) -> float:
    """GPU-hours of learning so many tokens."""
    flops = (
        _train_flops(sft.axolotl.gradient_checkpointing, adapters=sft.axolotl.lora is not None)
        * shape.parameters
        * tokens
    )
    return flops / (gpu.flops * use.compute) / 3600


def _train_flops(checkpointing: bool, adapters: bool = False) -> int:
    """Operations for each parameter and token; frozen weights need no gradient of their own."""
    return (4 if adapters else 6) + (2 if checkpointing else 0)


def _generate(job: Workload, use: Efficiency) -> float:
    """Seconds of sampling a rollout: bound by bytes, by operations, or by the longest response alone."""
    shape, gpus, share = job.shape, job.roles.tensor_parallel, job.responses / job.roles.engines
    weights, length = 2 * shape.parameters, job.prompt_tokens + job.response_tokens
    space = engine_share(job.ppo) * job.gpu.memory * gpus - weights
    at_once = min(max(space / (shape.kv_bytes * length), 1), share)
    bandwidth, flops = gpus * job.gpu.bandwidth * use.bandwidth, gpus * job.gpu.flops * use.compute
    each = weights / at_once + shape.kv_bytes * (job.prompt_tokens + job.response_tokens / 2)
    by_bytes = share * job.response_tokens * each / bandwidth
    longest = job.ppo.max_new_tokens * weights / bandwidth
    by_flops = weights * share * job.response_tokens / flops
    return max(by_bytes, longest, by_flops) + weights * share * job.prompt_tokens / flops
