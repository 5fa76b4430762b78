"""Losses of PPO as sums over tokens; the caller divides by the number of tokens in the whole minibatch.

So the gradient does not depend on how a minibatch is cut into micro-batches. All tensors are (N,
T).
"""

import torch


def policy_loss(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    clip_high: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """-min(rho A, clip(rho, 1 - eps, 1 + eps_high) A) summed, and the number of tokens where the clip decides.

    The logarithm of rho is cut at 20, as OpenRLHF does: beyond it a negative advantage would make
    an infinite loss.
    """
    ratio = (logp - old_logp).clamp(-20, 20).exp()
    highest = 1 + (clip if clip_high is None else clip_high)
    free, clipped = ratio * advantages, ratio.clamp(1 - clip, highest) * advantages
    return -(torch.min(free, clipped) * mask).sum(), ((clipped < free) * mask).sum()


def value_loss(
    values: torch.Tensor,
    old_values: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the squared error of the worse of the value and the value clipped around the old one; the clipped count."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    free_error, clipped_error = (values - returns).square(), (clipped - returns).square()
    return (torch.max(free_error, clipped_error) * mask).sum() / 2, (
        (clipped_error > free_error) * mask
    ).sum()
