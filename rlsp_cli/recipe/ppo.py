"""The key `ppo`. Its defaults are the paper's (arXiv 2502.06773, Appendix B.4)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.correction import Correction
from rlsp_cli.recipe.hints import Hints
from rlsp_cli.recipe.openrlhf import OpenRlhf
from rlsp_cli.recipe.optimisation import Optimisation
from rlsp_cli.recipe.section import (
    Fraction,
    LearningRate,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.recipe.streams import ImplicitPrm, Teacher


def _whole_distribution(top_p: float) -> float:
    # A token outside of the new policy's nucleus would have no ratio to the old policy.
    if top_p != 1:
        raise ValueError(
            "tokens drawn from a nucleus have other probabilities than PPO's ratios, KL and "
            "entropy assume; leave it out, and lower ppo.temperature instead"
        )
    return top_p


class Ppo(Optimisation):
    """PPO with an outcome verifier and exploration rewards."""

    backend: Literal["local", "openrlhf"] = "local"
    """What runs this stage."""
    openrlhf: OpenRlhf = OpenRlhf()
    """Settings of OpenRLHF; without effect on another backend."""

    # How much: rollouts of prompts, and optimiser steps on their responses.
    steps: PositiveInt | None = None
    """Rollout steps; by default as many as `episodes` takes."""
    episodes: PositiveFloat = 1.0
    """Passes over the prompts, if `steps` is not given."""
    rollout_batch: PositiveInt = 512
    """Prompts in one rollout."""
    samples_per_prompt: PositiveInt = 1
    """Responses sampled for each prompt of a rollout."""
    train_batch: PositiveInt = 128
    """Responses in one optimiser step."""
    epochs: PositiveInt = 1
    """Passes over each rollout."""

    # Sampling.
    temperature: PositiveFloat = 0.7
    """Sampling temperature of rollouts."""
    top_p: Annotated[float, AfterValidator(_whole_distribution)] = 1.0
    """Always 1: PPO compares probabilities of the whole distribution."""
    max_prompt_tokens: PositiveInt = 2048
    """Longest prompt in tokens; problems with longer ones are left out, and counted."""
    max_new_tokens: PositiveInt = 4096
    """Longest response in tokens."""
    sampler: Literal["embedded", "vllm"] = "embedded"
    """What samples on the local backend: the engine itself, or vLLM on the same GPU or CPU."""
    decode_batch: PositiveInt = 128
    """Responses that are decoded at once; a place that becomes free is given to the next."""

    # What is learned from.
    select: SelectorUse | None = None
    """Selector of responses by their scores; prompts that it drops are replaced (docs/ppo.md)."""

    self_play: ContinuationUse | None = None
    """Games in which the policy plays both seats, led by this continuation (docs/self_play.md)."""

    hints: Hints | None = None
    """Answer problems again with a hint where no response is right (docs/ppo.md)."""

    # Learning rates; the other keys of the optimisers are those of SFT.
    learning_rate: LearningRate = 2.0e-7
    """Peak learning rate of the policy."""
    critic_learning_rate: LearningRate = 2.0e-6
    """Peak learning rate of the critic."""

    # The critic.
    critic: Literal["own", "value_head"] = "own"
    """`own`: a second model, from the policy's weights; `value_head`: a head on the policy."""
    value_coef: PositiveFloat = 0.1
    """Weight of the value loss against the policy loss, for `critic: value_head`."""
    critic_warmup_steps: NonNegativeInt = 4
    """Rollout steps at the start that train only the critic."""

    # From rewards to advantages.
    estimator: Literal[
        "gae", "reinforce", "reinforce_baseline", "rloo", "group_norm", "dr_grpo", "role"
    ] = "gae"
    """Advantage estimator. `gae` trains a critic; all but `gae`, `reinforce` and `role` need groups."""
    advantages: Literal["mixed", "separate"] = "mixed"
    """`separate`: a baseline each for correctness and exploration, before alpha mixes them."""
    gamma: Fraction = 1.0
    """Discount per token."""
    gae_lambda: Fraction = 0.95
    """GAE's lambda."""
    whiten_advantages: bool = True
    """Normalise a rollout's advantages to mean 0 and variance 1.

    Has an effect on `gae`, `reinforce`, `reinforce_baseline`, and with `implicit_prm`."""

    # Streams of rewards for single tokens, beside the reward of the response.
    teacher: Teacher | None = None
    """On-policy distillation: minus the KL to another model is added to each token's reward."""
    implicit_prm: ImplicitPrm | None = None
    """PRIME: a process reward model that learns from verdicts along with the policy."""

    # The loss, and limits of one update.
    loss: Literal["ppo", "oreal"] = "ppo"
    """`oreal` imitates the better responses and scales the worse ones (OREAL, 2502.06781)."""
    clip: PositiveFloat = 0.2
    """The probability ratio is clipped to [1 - clip, 1 + clip], or to 1 + clip_high above."""
    clip_high: PositiveFloat | None = None
    """Upper range of the probability ratio ("clip-higher", arXiv 2503.14476); `clip` by default."""
    dual_clip: Annotated[float, Field(gt=1)] | None = None
    """Largest ratio where the advantage is negative (dual-clip PPO, arXiv 1912.09729); about 3."""
    rollout_correction: Correction = "auto"
    """Weights of tokens by how far vLLM's probabilities are from the trainer's (docs/ppo.md).

    `tis` truncates them, `icepop` masks tokens, `sequence` masks responses; `auto`: `tis` with
    OpenRLHF's asynchronous rollouts."""
    entropy_coef: NonNegativeFloat = 0.0
    """Weight of the entropy of each token's choice, in nats, which is added to the objective."""
    value_clip: PositiveFloat = 0.2
    """Largest change of a value in one rollout."""

    # The penalty for leaving the reference.
    kl_coef: NonNegativeFloat = 0.05
    """Weight of the KL penalty in the per-token reward; with `kl_target`, its first value."""
    kl_target: PositiveFloat | None = None
    """KL per token, in nats, at which an adaptive coefficient aims; by default it is fixed."""
    kl_horizon: PositiveInt = 10000
    """Responses over which the adaptive coefficient reacts."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Estimator of the per-token KL (Schulman, 2020)."""

    # What is measured and kept.
    eval_every: PositiveInt | None = None
    """Rollout steps between evaluations on `data.heldout` in training; by default none."""
    save_every: PositiveInt = 20
    """Rollout steps between checkpoints, from which `--resume` continues."""
    export_every: PositiveInt | None = None
    """Rollout steps between models kept for `rlsp eval RUN --steps`; by default only the last."""

    @property
    def responses(self) -> int:
        """Responses in one rollout."""
        return self.rollout_batch * self.samples_per_prompt

    @property
    def minibatches(self) -> int:
        """Parts of a rollout, one for each optimiser step of an epoch."""
        return max(1, self.responses // self.train_batch)

    @property
    def updates(self) -> int:
        """Optimiser steps on one rollout."""
        return self.epochs * self.minibatches

    @property
    def warmup_steps(self) -> int:
        """Rollout steps in which only the critic learns; none when there is no critic."""
        return self.critic_warmup_steps if self.estimator == "gae" else 0

    @property
    def correction(self) -> Correction:
        """The correction that is made: what `auto` stands for, or the recipe's."""
        if self.rollout_correction != "auto":
            return self.rollout_correction

        # Rollouts that overlap with training were sampled by an older policy.
        is_async = self.backend == "openrlhf" and self.openrlhf.async_rollout != "none"
        return "tis" if is_async else "none"

    @property
    def uses_kl(self) -> bool:
        """Whether the KL to the reference has a weight, or could get one."""
        return self.kl_coef > 0 or self.kl_target is not None

    @property
    def has_kl_in_loss(self) -> bool:
        """Whether the KL is a part of the loss, and not of the rewards."""
        return self.loss == "oreal" and self.uses_kl

    @property
    def has_reference(self) -> bool:
        """Whether something is compared with the policy that PPO started from."""
        return self.uses_kl or self.implicit_prm is not None

    @property
    def has_own_critic(self) -> bool:
        """Whether there is a critic with layers of its own."""
        return self.estimator == "gae" and self.critic == "own"

    def num_steps(self, rows: int) -> int:
        """Rollout steps of the whole stage over so many problems."""
        return self.steps or max(1, int(self.episodes * rows / self.rollout_batch))

    @property
    def needs_groups(self) -> bool:
        """Whether the estimator compares the responses to one prompt."""
        return self.estimator not in ("gae", "reinforce", "role")

    @property
    def divides_mixture(self) -> bool:
        """Whether the mixed rewards of a group are divided by their standard deviation."""
        return self.estimator == "group_norm" and self.advantages == "mixed"

    @model_validator(mode="after")
    def _group_estimators_need_groups(self) -> "Ppo":
        if self.needs_groups and self.samples_per_prompt < 2:
            raise ValueError(f"estimator {self.estimator!r} needs samples_per_prompt >= 2")
        if not self.needs_groups and self.advantages == "separate":
            raise ValueError(
                "advantages: separate needs an estimator with groups, such as rloo or group_norm"
            )
        if self.self_play is not None and (self.samples_per_prompt % 2 or self.needs_groups):
            raise ValueError(
                "self_play has two responses to a prompt, one for each seat, which no estimator may "
                "compare; set samples_per_prompt: 2 and estimator: role"
            )
        if self.self_play is not None and self.hints is not None:
            raise ValueError("self_play has no hints; leave out one of them")
        if self.loss == "oreal" and self.estimator != "rloo":
            raise ValueError("oreal weighs responses against their group; set estimator: rloo")
        if self.has_kl_in_loss and self.kl_estimator == "k1":
            raise ValueError(
                "oreal has the KL in its loss, where k1 does not pull back; set kl_estimator: k3"
            )
        if self.implicit_prm is not None and self.estimator != "rloo":
            raise ValueError(
                "implicit_prm takes a leave-one-out baseline off each stream; set estimator: rloo"
            )
        return self
