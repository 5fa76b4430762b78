"""What the updates of a rollout aim at: log-probabilities to compare with, values, advantages and returns."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch

from rlsp_cli.engine import advantage
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.correction import corrected
from rlsp_cli.engine.loss import LOSS_WEIGHTS
from rlsp_cli.engine.rollout import Rollout, in_micro_batches
from rlsp_cli.engine.stream import Seen, Stream
from rlsp_cli.recipe.correction import BANDS
from rlsp_cli.recipe.ppo import Ppo


@dataclass(frozen=True)
class Targets:
    """What the update of one rollout needs; all (N, T), rows of responses that are unscored or not selected masked out.

    Without `old_logp` the policy is its own old one: the rollout's only update starts from it.
    """

    mask: torch.Tensor
    old_logp: torch.Tensor | None
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    weights: torch.Tensor | None = None  # of the tokens in the policy's loss; None for equal ones
    reference: torch.Tensor | None = None  # log-probabilities, where the KL is part of the loss
    kl_coef: float = 0.0

    def part(self, rows: torch.Tensor, width: int) -> "Targets":
        """The first `width` positions of some rows."""
        tensors: dict[str, Any] = {
            field.name: tensor[rows, :width]
            for field in fields(self)
            if isinstance(tensor := getattr(self, field.name), torch.Tensor)
        }
        return replace(self, **tensors)


@torch.no_grad()
def targets_of(
    rollout: Rollout,
    models: ActorCritic,
    settings: Ppo,
    alpha: float,
    kl_coef: float,
    streams: Sequence[Stream] = (),
) -> tuple[Targets, dict[str, float]]:
    """The targets of a rollout, and the metrics known from them.

    `alpha` and `kl_coef` are those of its step. A stream that learns does so here.
    """
    logp, entropy = _old(rollout, models, settings).unbind(-1)
    reference = _reference(rollout, models, settings)
    weights, of_correction = _corrected(rollout, logp, settings)
    kl, of_kl = _kl(logp, reference, rollout.mask, settings)
    values = _values(rollout, models, settings)

    scored, mask = _learned(rollout)
    scores = _mixed_scores(rollout, scored, settings, alpha)
    steps = _mixed_steps(rollout, scored, settings, alpha)
    paid, of_streams = _paid(streams, Seen(rollout, logp, reference))
    in_reward = 0.0 if settings.has_kl_in_loss else kl_coef
    advantages, returns = advantage.advantages_and_returns(
        scores, kl, values, mask, in_reward, settings, steps, paid
    )

    from_policy = settings.updates == 1 and not models.in_float32
    targets = Targets(
        mask,
        None if from_policy else logp,
        values,
        advantages,
        returns,
        _balanced(weights, advantages, mask, settings),
    )
    if settings.has_kl_in_loss:
        targets = replace(targets, reference=reference, kl_coef=kl_coef)

    metrics = {"entropy": float(advantage.masked_mean(entropy, rollout.mask))}
    metrics |= of_correction | of_kl | of_streams
    if settings.uses_kl:
        metrics["kl/coef"] = kl_coef
    if models.value_head is not None:
        metrics["explained_variance"] = advantage.explained_variance(values, returns, mask)
    return targets, metrics


def _learned(rollout: Rollout) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) which responses are scored, and the (N, T) mask without those that are not learned from."""
    rewarded = [float(score.reward is not None) for score in rollout.scores]
    scored = torch.tensor(rewarded, device=rollout.mask.device)
    # A baseline is of the whole group, whatever a selector leaves out of the update.
    learned = scored if rollout.kept is None else scored * scored.new_tensor(rollout.kept)
    return scored, rollout.mask * learned[:, None]


def _balanced(
    weights: torch.Tensor | None, advantages: torch.Tensor, mask: torch.Tensor, settings: Ppo
) -> torch.Tensor | None:
    """(N, T) the weights, times those that the loss has of its own; None for equal ones."""
    balance = LOSS_WEIGHTS.get(settings.loss)
    if balance is None:
        return weights
    own = balance(advantages, mask)
    return own if weights is None else weights * own


def _kl(
    logp: torch.Tensor, reference: torch.Tensor | None, mask: torch.Tensor, settings: Ppo
) -> tuple[torch.Tensor, dict[str, float]]:
    """(N, T) estimates of the KL from the reference, and their metrics; zeros where it is not used."""
    if not settings.uses_kl:
        return torch.zeros_like(mask), {}

    assert reference is not None, "settings.has_reference"
    kl = advantage.kl_estimate(logp, reference, settings.kl_estimator)
    response, token = (kl * mask).sum(1).mean(), advantage.masked_mean(kl, mask)
    return kl, {"kl/response": float(response), "kl/token": float(token)}


def _values(rollout: Rollout, models: ActorCritic, settings: Ppo) -> torch.Tensor:
    """(N, T) values of the critic; zeros without one."""
    if models.value_head is None:
        return torch.zeros_like(rollout.mask)
    return in_micro_batches(lambda tokens, _: models.values(tokens), rollout, settings.micro_batch)


def _old(rollout: Rollout, models: ActorCritic, settings: Ppo) -> torch.Tensor:
    """(N, T, 2) log-probability and entropy of each token under the policy that drew it.

    In bfloat16, sums over other batches differ by more than PPO's ratios should. What decoding
    recorded is then used only where no ratio is taken of it.
    """
    if rollout.recorded is not None and (models.in_float32 or settings.updates == 1):
        return rollout.recorded
    return in_micro_batches(partial(models.logp, "policy"), rollout, settings.micro_batch)


def _reference(rollout: Rollout, models: ActorCritic, settings: Ppo) -> torch.Tensor | None:
    """(N, T) log-probabilities under the reference, None where nothing needs them."""
    if not settings.has_reference:
        return None
    of_reference = partial(models.logp, "reference")
    return in_micro_batches(of_reference, rollout, settings.micro_batch)[..., 0]


def _paid(streams: Sequence[Stream], seen: Seen) -> tuple[torch.Tensor | None, dict[str, float]]:
    """(N, T) what the streams pay for each token, None without any, and their metrics."""
    paid: list[torch.Tensor] = []
    metrics: dict[str, float] = {}
    for stream in streams:
        rewards, found = stream.rewards(seen)
        paid.append(rewards)
        metrics |= found
    return (torch.stack(paid).sum(0) if paid else None), metrics


def _corrected(
    rollout: Rollout, policy: torch.Tensor, settings: Ppo
) -> tuple[torch.Tensor | None, dict[str, float]]:
    """(N, T) weights of the off-policy correction, None without one, and how far the sampler is away."""
    if rollout.reported is None:
        return None, {}

    mask = rollout.mask
    metrics = _mismatch(rollout.reported - policy, mask)
    if settings.correction == "none":
        return None, metrics

    found = corrected(policy, rollout.reported, mask, BANDS[settings.correction])
    return found.weights, metrics | {"mismatch/outside": found.outside}


def _mismatch(difference: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """How far the sampler is from the policy, given (N, T) differences of their log-probabilities."""
    mean = advantage.masked_mean(difference, mask)
    return {"mismatch/kl": float(mean), "mismatch/largest": float((difference * mask).abs().max())}


def _mixed_scores(
    rollout: Rollout, scored: torch.Tensor, settings: Ppo, alpha: float
) -> torch.Tensor:
    """(N,) scores: the rewards, or with `advantages: separate` both streams, each normalised before the mixture.

    Less what steps earn where they end: without a baseline of their own, they share that of the
    whole reward.
    """
    group, estimator = settings.samples_per_prompt, settings.estimator
    # In float64: what rounding leaves of equal exploration, group_norm would divide by itself.
    paid = scored.new_zeros(len(scored), dtype=torch.float64)
    for step in rollout.steps:
        paid[step.row] += step.value

    if settings.advantages == "mixed":
        rewards = paid.new_tensor([[score.reward or 0.0] for score in rollout.scores])
        whole = advantage.mixed(rewards, [1.0], scored, group, estimator)
        if rollout.baselines is not None:
            whole = (whole - whole.new_tensor(rollout.baselines)) * scored
        return (whole - (1 - alpha) * paid).to(scored.dtype)

    streams = paid.new_tensor([score.streams or (0.0, 0.0) for score in rollout.scores])
    streams[:, 1] -= paid
    weights = [alpha, 1 - alpha]
    return advantage.mixed(streams, weights, scored, group, estimator).to(scored.dtype)


def _mixed_steps(
    rollout: Rollout, scored: torch.Tensor, settings: Ppo, alpha: float
) -> list[advantage.StepReward]:
    """What steps earn in the mixture, with `advantages: separate` less a baseline of their own."""
    steps = list(rollout.steps)
    if settings.advantages == "separate":
        steps = advantage.without_step_baseline(
            steps, scored, settings.samples_per_prompt, settings.estimator
        )
    return [step._replace(value=(1 - alpha) * step.value) for step in steps]
