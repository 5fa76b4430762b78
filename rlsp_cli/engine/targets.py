"""What the updates of a rollout aim at: log-probabilities to compare with, values, advantages and returns."""

from dataclasses import dataclass
from functools import partial

import torch

from rlsp_cli.engine import advantage
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.rollout import Rollout, in_micro_batches
from rlsp_cli.recipe.schema import Ppo


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

    def part(self, rows: torch.Tensor, width: int) -> "Targets":
        """The first `width` positions of some rows."""

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[rows, :width]

        return Targets(
            cut(self.mask),
            None if self.old_logp is None else cut(self.old_logp),
            cut(self.old_values),
            cut(self.advantages),
            cut(self.returns),
        )


@torch.no_grad()
def targets_of(
    rollout: Rollout, models: ActorCritic, settings: Ppo, alpha: float, kl_coef: float
) -> tuple[Targets, dict[str, float]]:
    """The targets of a rollout, and the metrics known from them.

    `alpha` and `kl_coef` are those of its step.
    """
    mask = rollout.mask
    old = _old(rollout, models, settings)  # (N, T, 2)
    metrics = {"entropy": float(advantage.masked_mean(old[..., 1], mask))}
    if rollout.reported is not None:
        metrics |= _mismatch(rollout.reported - old[..., 0], mask)

    kl = torch.zeros_like(mask)
    if settings.uses_kl:
        reference = in_micro_batches(
            partial(models.logp, "reference"), rollout, settings.micro_batch
        )
        kl = advantage.kl_estimate(old[..., 0], reference[..., 0], settings.kl_estimator)
        metrics["kl/response"] = float((kl * mask).sum(1).mean())
        metrics["kl/token"] = float(advantage.masked_mean(kl, mask))
        metrics["kl/coef"] = kl_coef

    values = torch.zeros_like(mask)
    if models.value_head is not None:
        values = in_micro_batches(
            lambda tokens, _: models.values(tokens), rollout, settings.micro_batch
        )

    rewarded = [float(score.reward is not None) for score in rollout.scores]
    scored = torch.tensor(rewarded, device=mask.device)
    # A baseline is of the whole group, whatever a selector leaves out of the update.
    learned = scored if rollout.kept is None else scored * scored.new_tensor(rollout.kept)
    mask = mask * learned[:, None]
    scores = _mixed_scores(rollout, scored, settings, alpha)
    steps = _mixed_steps(rollout, scored, settings, alpha)
    advantages, returns = advantage.advantages_and_returns(
        scores, kl, values, mask, kl_coef, settings, steps
    )
    if models.value_head is not None:
        metrics["explained_variance"] = advantage.explained_variance(values, returns, mask)

    from_policy = settings.updates == 1 and not models.in_float32
    old_logp = None if from_policy else old[..., 0]
    return Targets(mask, old_logp, values, advantages, returns), metrics


def _old(rollout: Rollout, models: ActorCritic, settings: Ppo) -> torch.Tensor:
    """(N, T, 2) log-probability and entropy of each token under the policy that drew it.

    In bfloat16, sums over other batches differ by more than PPO's ratios should. What decoding
    recorded is then used only where no ratio is taken of it.
    """
    if rollout.recorded is not None and (models.in_float32 or settings.updates == 1):
        return rollout.recorded
    return in_micro_batches(partial(models.logp, "policy"), rollout, settings.micro_batch)


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
