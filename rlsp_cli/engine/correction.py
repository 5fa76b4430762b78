"""Off-policy correction: weights of tokens whose sampler is not quite the policy that is trained."""

from typing import NamedTuple

import torch

from rlsp_cli.engine.advantage import masked_mean
from rlsp_cli.recipe.correction import Band


class Correction(NamedTuple):
    """(N, T) weights of tokens, and the share of the tokens whose ratio is outside of its bounds."""

    weights: torch.Tensor
    outside: float


def corrected(
    trainer: torch.Tensor, sampler: torch.Tensor, mask: torch.Tensor, band: Band
) -> Correction:
    """The importance weights pi_trainer / pi_sampler of the tokens, given (N, T) log-probabilities.

    Truncated, they are TIS (https://fengyao.notion.site/off-policy-rl). Masked, they are 0 outside
    of the band and themselves within: token by token it is IcePop (arXiv 2510.18855); of a
    response, all are 0 where the geometric mean is outside, as in OpenRLHF 0.11.2.
    """
    log_ratio = (trainer - sampler) * mask
    weights = log_ratio.exp()

    judged = weights
    if band.of_response:
        means = log_ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        judged = means.exp().expand_as(weights)

    inside = (judged >= band.low) & (judged <= band.high)
    outside = float(masked_mean((~inside).float(), mask))
    if band.truncates:
        return Correction(weights.clamp(band.low, band.high), outside)
    return Correction(torch.where(inside, weights, 0.0), outside)
