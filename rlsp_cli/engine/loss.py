"""Losses of PPO as sums over tokens; the caller divides by the number of tokens in the whole minibatch.

So the gradient does not depend on how a minibatch is cut into micro-batches. All tensors are (N,
T).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from rlsp_cli.engine.advantage import masked_mean
from rlsp_cli.recipe.ppo import Ppo

Sums = tuple[torch.Tensor, torch.Tensor]
"""A loss summed over tokens, and the number of tokens where a clip decides."""


def policy_loss(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
    weights: torch.Tensor | None = None,
) -> Sums:
    """-min(rho A, clip(rho, 1 - eps, 1 + eps_high) A) summed, and the number of tokens where the clip decides.

    The logarithm of rho is cut at 20, as OpenRLHF does: beyond it a negative advantage would make
    an infinite loss. With `dual_clip` c, a token of negative advantage loses at most -c A (arXiv
    1912.09729), however much likelier it has become. `weights` are those of the tokens.
    """
    ratio = (logp - old_logp).clamp(-20, 20).exp()
    highest = 1 + (clip if clip_high is None else clip_high)
    free, clipped = ratio * advantages, ratio.clamp(1 - clip, highest) * advantages

    objective = torch.min(free, clipped)
    if dual_clip is not None:
        lowest = torch.max(objective, dual_clip * advantages)
        objective = torch.where(advantages < 0, lowest, objective)

    weighted = mask if weights is None else mask * weights
    return -(objective * weighted).sum(), ((clipped < free) * mask).sum()


def oreal_loss(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> Sums:
    """-A log pi summed where the advantage is positive, -A rho elsewhere (OREAL, arXiv 2502.06781).

    Right responses are imitated by how rare they are in their group, wrong ones are made less
    likely. Nothing is clipped. As in the authors' code (InternLM/OREAL @2859cc0, `pos_mult_adv`).
    """
    ratio = (logp - old_logp).clamp(-20, 20).exp()
    objective = torch.where(advantages > 0, logp, ratio) * advantages
    weighted = mask if weights is None else mask * weights
    return -(objective * weighted).sum(), mask.new_zeros(())


def oreal_weights(advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(N, T) weights that make the loss's mean over tokens that of the good ones plus half that of the others.

    `advantages` and `mask` are of a whole rollout. A half is the factor of the authors' settings.
    """
    good = (advantages > 0).to(mask.dtype)
    share = masked_mean(good, mask)
    of_good, of_others = 1 / share.clamp(min=1e-8), 0.5 / (1 - share).clamp(min=1e-8)
    return torch.where(good > 0, of_good, of_others)


class Chosen(NamedTuple):
    """What a policy loss sees of tokens, in the order of its arguments; all (N, T)."""

    logp: torch.Tensor
    old_logp: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor | None = None


LOSSES: dict[str, Callable[[Chosen, Ppo], Sums]] = {
    "ppo": lambda of, by: policy_loss(*of[:4], by.clip, by.clip_high, by.dual_clip, of.weights),
    "oreal": lambda of, _: oreal_loss(*of),
}
"""The policy's losses by `ppo.loss`."""
LOSS_WEIGHTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "oreal": oreal_weights
}
"""By the same names, weights of a rollout's tokens, from their advantages and mask; none for equal ones."""


def value_loss(
    values: torch.Tensor,
    old_values: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
) -> Sums:
    """Half the squared error of the worse of the value and the value clipped around the old one; the clipped count."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    free_error, clipped_error = (values - returns).square(), (clipped - returns).square()
    return (torch.max(free_error, clipped_error) * mask).sum() / 2, (
        (clipped_error > free_error) * mask
    ).sum()
