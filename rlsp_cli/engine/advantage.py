"""Per-token rewards and advantages.

N responses, T positions; position t holds what concerns the token chosen after t. `mask` (N, T) is
1 on tokens that the model chose. Texts from elsewhere leave gaps in it, over which values are
carried. Formulas: RLSP (arXiv 2502.06773, section 2.3); GAE (1506.02438); RLOO (2402.14740); GRPO
(2402.03300); REINFORCE++ and its baseline (2501.03262); Dr. GRPO (2503.20783).
The baselines of `role` are those of a whole run (role_baselines.py).
tests/test_openrlhf_maths.py holds them against OpenRLHF's.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import torch

from rlsp_cli.recipe.ppo import Ppo

_WHITENED = ("gae", "reinforce", "reinforce_baseline")
"""Estimators whose advantages are whitened over the rollout; the others are scaled, or not, by their definition.

PRIME whitens the sum of its streams, whose scales differ (2502.01456).
"""

_MAX_KL = 10.0


def kl_estimate(logp: torch.Tensor, reference: torch.Tensor, estimator: str) -> torch.Tensor:
    """(N, T) estimates of KL(policy || reference) per token: k1, k2 or k3 of Schulman's note (2020).

    Cut at 10 nats, as OpenRLHF does: k3 is exponential, and one token must not decide a rollout.
    """
    ratio = logp - reference
    if estimator == "k1":
        kl = ratio
    elif estimator == "k2":
        kl = ratio.square() / 2
    else:
        kl = torch.expm1(-ratio) + ratio
    return kl.clamp(-_MAX_KL, _MAX_KL)


class StepReward(NamedTuple):
    """What a step of response `row` earns at its last token, which is chosen at `position`."""

    row: int
    position: int
    value: float


def token_rewards(
    scores: torch.Tensor,
    kl: torch.Tensor,
    kl_coef: float,
    mask: torch.Tensor,
    steps: Sequence[StepReward] = (),
) -> torch.Tensor:
    """r_t = -beta * KL_t, plus the response's score (N,) at its last token, plus what its steps earn at theirs.

    They sum to the score and the steps' values - beta * sum KL.
    """
    rewards = -kl_coef * kl * mask
    last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)  # (N,)
    rewards = rewards.scatter_add(1, last[:, None], scores[:, None])
    if not steps:
        return rewards

    rows, positions, values = zip(*steps, strict=True)
    places = (torch.tensor(rows), torch.tensor(positions))
    return rewards.index_put(places, rewards.new_tensor(values), accumulate=True)


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, gae_lambda: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimates and the returns A + V, both (N, T); nothing outside the mask counts."""
    advantages = torch.zeros_like(rewards)
    following_value = following_advantage = rewards.new_zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        advantages[:, t] = (delta + gamma * gae_lambda * following_advantage) * mask[:, t]
        # Over a gap the next choice stays the same: what others say is part of the state.
        chosen = mask[:, t] > 0
        following_value = torch.where(chosen, values[:, t], following_value)
        following_advantage = torch.where(chosen, advantages[:, t], following_advantage)
    return advantages, (advantages + values) * mask


def rewards_to_go(rewards: torch.Tensor, mask: torch.Tensor, gamma: float) -> torch.Tensor:
    """(N, T) sums of gamma^k r_{t+k}: the advantage when the baseline is already in the score."""
    return gae(rewards, torch.zeros_like(rewards), mask, gamma, 1.0)[0]


def leave_one_out(scores: torch.Tensor, scored: torch.Tensor) -> torch.Tensor:
    """RLOO's baseline taken off: each score minus the mean of the others in its group.

    Both are (groups, n); unscored responses take no part and get 0, and so does one that is alone.
    """
    count = scored.sum(1, keepdim=True)
    total = (scores * scored).sum(1, keepdim=True)
    others = (total - scores) / (count - 1).clamp(min=1)
    return torch.where((scored > 0) & (count > 1), scores - others, 0.0)


def minus_mean(scores: torch.Tensor, scored: torch.Tensor) -> torch.Tensor:
    """The baseline of Dr. GRPO and of REINFORCE++: each score minus its group's mean. Shapes as `leave_one_out`."""
    mean = (scores * scored).sum(1, keepdim=True) / scored.sum(1, keepdim=True).clamp(min=1)
    return (scores - mean) * scored


def group_norm(scores: torch.Tensor, scored: torch.Tensor) -> torch.Tensor:
    """GRPO's score: minus the group's mean, divided by its (sample) standard deviation. Shapes as `leave_one_out`.

    In float64: in float32 the mean of eight times 0.9 is not 0.9, and the division would make an
    advantage of that.
    """
    centred = minus_mean(scores.double(), scored.double())
    std = (
        centred.square().sum(1, keepdim=True) / (scored.sum(1, keepdim=True) - 1).clamp(min=1)
    ).sqrt()
    return (centred / (std + 1e-9)).to(scores.dtype)


_BASELINES = {
    "reinforce_baseline": minus_mean,
    "rloo": leave_one_out,
    "group_norm": group_norm,
    "dr_grpo": minus_mean,
}


def mixed(
    streams: torch.Tensor,
    weights: Sequence[float],
    scored: torch.Tensor,
    group: int,
    estimator: str,
) -> torch.Tensor:
    """(N, k) streams of scores -> (N,): each stream minus the baseline of its groups of `group`, then weighted.

    An estimator without a baseline leaves the streams as they are. `scored` (N,) is 1 for responses
    with scores.
    """
    baseline = _BASELINES.get(estimator)
    columns = [
        baseline(column.reshape(-1, group), scored.view(-1, group)).flatten()
        if baseline
        else column
        for column in streams.unbind(1)
    ]
    return torch.stack(
        [weight * column for weight, column in zip(weights, columns, strict=True)]
    ).sum(0)


def without_step_baseline(
    steps: Sequence[StepReward], scored: torch.Tensor, group: int, estimator: str
) -> list[StepReward]:
    """The values of steps, each minus the baseline of its group's steps; `scored` as for `mixed`.

    The baseline is the mean over the group's responses, for rloo over the others, of the mean value
    of a response's steps (PRIME, arXiv 2502.01456). `group_norm` takes the mean and the standard
    deviation of all step values of the group (GRPO with process supervision, 2402.03300).
    """
    values: dict[int, list[float]] = {}
    for step in steps:
        values.setdefault(step.row, []).append(step.value)

    if estimator == "group_norm":
        return [_normalised(step, _of_group(values, step.row, group)) for step in steps]

    means = scored.new_zeros(len(scored), dtype=torch.float64)
    known = torch.zeros_like(means)
    for row, of_row in values.items():
        means[row], known[row] = fmean(of_row), 1.0
    centred = _BASELINES[estimator](means.view(-1, group), known.view(-1, group)).flatten()
    return [
        step._replace(value=step.value - float(means[step.row] - centred[step.row]))
        for step in steps
    ]


def _of_group(values: Mapping[int, Sequence[float]], row: int, group: int) -> list[float]:
    """All step values of the group that a response is in."""
    first = row - row % group
    return [value for one in range(first, first + group) for value in values.get(one, ())]


def _normalised(step: StepReward, values: Sequence[float]) -> StepReward:
    spread = stdev(values) if len(values) > 1 else 0.0
    return step._replace(value=(step.value - fmean(values)) / (spread + 1e-9))


def whiten(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the masked tokens of the whole rollout; a variance below 1e-8 counts as 1e-8."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean).square(), mask)
    return (values - mean) * variance.clamp(min=1e-8).rsqrt() * mask


def advantages_and_returns(
    scores: torch.Tensor,
    kl: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    kl_coef: float,
    settings: Ppo,
    steps: Sequence[StepReward] = (),
    streams: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a rollout, both (N, T): `scores` (N,) have their baseline off, `values` are those of gae's critic.

    `steps` are paid beside the scores, and so is what `streams` (N, T) has for each token.

    Rows of unscored responses are masked out: they take no part in the whitening.
    """
    rewards = token_rewards(scores, kl, kl_coef, mask, steps)
    if streams is not None:
        rewards = rewards + streams * mask

    if settings.estimator == "gae":
        advantages, returns = gae(rewards, values, mask, settings.gamma, settings.gae_lambda)
    else:
        advantages = returns = rewards_to_go(rewards, mask, settings.gamma)
    is_whitened = settings.estimator in _WHITENED or settings.implicit_prm is not None
    if settings.whiten_advantages and is_whitened:
        advantages = whiten(advantages, mask)
    return advantages, returns


def adapted_kl_coef(coef: float, kl: float, target: float, responses: int, horizon: int) -> float:
    """The coefficient moved towards `target` (KL per token), by at most 20% of responses/horizon (1909.08593)."""
    error = max(-0.2, min(0.2, kl / target - 1))
    return coef * (1 + error * responses / horizon)


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> float:
    """Share of the returns' variance over the tokens that the values explain; 1 at best."""
    unexplained = masked_mean((returns - values).square(), mask)
    variance = masked_mean((returns - masked_mean(returns, mask)).square(), mask)
    return float(1 - unexplained / (variance + 1e-8))


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the positions where `mask` is 1; 0 when there is none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
