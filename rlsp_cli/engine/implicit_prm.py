"""PRIME (arXiv 2502.01456): a process reward model that learns from outcomes alone, along with the policy."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.advantage import leave_one_out
from rlsp_cli.engine.batch import micro_batches
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.rollout import Rollout
from rlsp_cli.engine.stream import Seen
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.sample import SampleScore


class ImplicitPrmStream:
    """The role `prm` starts as the policy did, and its log-ratio to the reference rewards each token.

    The rewards of a rollout are those before the step on it, as the authors' code has them with
    `update: after`; there is one step for each rollout.
    """

    def __init__(self, models: ActorCritic, settings: Ppo, total_steps: int) -> None:
        assert settings.implicit_prm, "this stream is of a recipe with an implicit PRM"
        self.models, self.settings, self.own = models, settings, settings.implicit_prm
        rate, learned = self.own.learning_rate, models.parameters("prm")
        self.optimiser = Optimiser(learned, settings, rate, total_steps)

    def rewards(self, seen: Seen) -> tuple[torch.Tensor, dict[str, float]]:
        """The stream with its baseline off, after a step on the rollout's verdicts."""
        assert seen.reference is not None, "settings.has_reference"
        mask, size = seen.rollout.mask, self.settings.samples_per_prompt
        labels, known = _verdicts(seen.rollout.scores, mask)

        ratios, loss = self._gradients(seen.rollout, seen.reference, labels, known)
        norm, _ = self.optimiser.step()
        metrics = {"implicit_prm/loss": loss, "implicit_prm/grad_norm": norm}
        metrics |= in_order(ratios.sum(1), labels, known, size)

        rewards = without_baseline(scaled(ratios), mask, known, size)
        return self.own.coef * rewards, metrics

    def state(self) -> dict[str, Any]:
        """The optimiser with its schedule; the weights are those of a role."""
        return {"implicit_prm_optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.optimiser.load_state_dict(state["implicit_prm_optimiser"])

    def _gradients(
        self,
        rollout: Rollout,
        reference: torch.Tensor,
        labels: torch.Tensor,
        known: torch.Tensor,
    ) -> tuple[torch.Tensor, float]:
        """Accumulate the gradients of the mean loss; returns the (N, T) log-ratios and that loss."""
        ratios, loss = torch.zeros_like(rollout.mask), 0.0
        everyone = torch.arange(len(ratios))
        for rows in micro_batches(rollout.lengths, everyone, self.settings.micro_batch):
            width = int(rollout.lengths[rows].max()) - 1
            tokens, mask = rollout.tokens[rows, : width + 1], rollout.mask[rows, :width]
            with torch.enable_grad(), self.models.training("prm") as model:
                states = last_states(model, tokens)
                facts = token_logp(model, states, tokens, mask, self.settings.temperature)
                part = (facts[..., 0] - reference[rows, :width]) * mask
                error = outcome_loss(part, labels[rows], known[rows], self.own.beta)
                (error / known.sum().clamp(min=1)).backward()  # type: ignore[no-untyped-call]
            ratios[rows, :width] = part.detach()
            loss += float(error.detach() / known.sum().clamp(min=1))
        return ratios, loss


def outcome_loss(
    ratios: torch.Tensor, labels: torch.Tensor, known: torch.Tensor, beta: float
) -> torch.Tensor:
    """The cross entropy of sigma(beta sum_t ratio_t) and the verdicts, summed over responses (PRIME, 2502.01456).

    `ratios` (N, T) are log pi_prm - log pi_reference, 0 outside of responses; `labels` (N,) are
    verdicts from 0 to 1, `known` (N,) is 1 where there is one.
    """
    return binary_cross_entropy_with_logits(
        beta * ratios.sum(1), labels, weight=known, reduction="sum"
    )


def scaled(ratios: torch.Tensor) -> torch.Tensor:
    """Divided by the largest size of a sum to the response's end in the rollout.

    As in the authors' code (PRIME-RL/PRIME @18ad596, `batch_norm`), so that the size of the rewards
    does not grow as the model learns.
    """
    ahead = ratios.flip(1).cumsum(1)
    return ratios / (ahead.abs().max() + 1e-6)


def without_baseline(
    rewards: torch.Tensor, mask: torch.Tensor, known: torch.Tensor, group: int
) -> torch.Tensor:
    """(N, T) each token's reward minus the mean of the mean rewards of the group's other responses.

    That is the paper's (2502.01456). The authors' code subtracts the mean of all n responses of the
    group, and multiplies by n / (n - 1). Responses without a verdict take no part and get 0.
    """
    means = (rewards * mask).sum(1) / mask.sum(1).clamp(min=1)
    centred = leave_one_out(means.view(-1, group), known.view(-1, group)).flatten()
    return (rewards - (means - centred)[:, None]) * mask * known[:, None]


def in_order(
    sums: torch.Tensor, labels: torch.Tensor, known: torch.Tensor, group: int
) -> dict[str, float]:
    """The share of pairs of a group in which the response with the better verdict has the larger sum.

    All are (N,); empty without such a pair.
    """
    known_pairs = known.view(-1, group, 1) * known.view(-1, 1, group)
    better, larger = (
        values.view(-1, group, 1) - values.view(-1, 1, group) for values in (labels, sums)
    )
    pairs = (better > 0) & (known_pairs > 0)
    if not pairs.any():
        return {}
    return {"implicit_prm/in_order": float((larger[pairs] > 0).float().mean())}


def _verdicts(
    scores: Sequence[SampleScore], like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) verdicts, 0 where there is none, and (N,) whether there is one."""
    found = [score.correctness.value for score in scores]
    return (
        like.new_tensor([value or 0.0 for value in found]),
        like.new_tensor([float(value is not None) for value in found]),
    )
