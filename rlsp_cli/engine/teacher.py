"""On-policy distillation: a teacher judges each token that the policy has chosen."""

from typing import Any

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.advantage import kl_estimate, masked_mean
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.precision import autocast
from rlsp_cli.engine.rollout import in_micro_batches
from rlsp_cli.engine.stream import Seen
from rlsp_cli.recipe.ppo import Ppo


class TeacherStream:
    """-coef (log pi(y_t) - log pi_teacher(y_t)): the estimate k1 of minus the KL to the teacher.

    Summed over a response this is the reverse KL that MiniLLM (arXiv 2306.08543, Eq. 1) minimises
    by policy gradients; with `gamma` 0 each token answers for itself alone. Both softmaxes are at
    the temperature of the rollouts.
    """

    def __init__(self, model: PreTrainedModel, settings: Ppo, precision: str) -> None:
        self.model, self.settings, self.precision = model.eval(), settings, precision

    def rewards(self, seen: Seen) -> tuple[torch.Tensor, dict[str, float]]:
        """The stream, and the mean KL per token as `kl/teacher`."""
        assert self.settings.teacher, "this stream is of a recipe with a teacher"
        mask = seen.rollout.mask
        teacher = in_micro_batches(self._logp, seen.rollout, self.settings.micro_batch)
        kl = kl_estimate(seen.policy, teacher, "k1") * mask
        return -self.settings.teacher.coef * kl, {"kl/teacher": float(masked_mean(kl, mask))}

    def state(self) -> dict[str, Any]:
        """Nothing: a teacher does not learn."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def _logp(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        with autocast(self.model, self.precision):
            states = last_states(self.model, tokens)
            facts = token_logp(self.model, states, tokens, mask, self.settings.temperature)
        return facts[..., 0]
