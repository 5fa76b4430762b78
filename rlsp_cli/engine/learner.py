"""PPO's updates: minibatches of a rollout, and the gradients of policy and critic."""

from collections.abc import Iterator
from typing import Any

import torch

from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.advantage import kl_estimate
from rlsp_cli.engine.batch import micro_batches
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.loss import LOSSES, Chosen, value_loss
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.rollout import Rollout
from rlsp_cli.engine.seed import generator
from rlsp_cli.engine.targets import Targets
from rlsp_cli.recipe.ppo import Ppo


class Learner:
    """The optimisers of policy and critic, and the minibatches that they learn from."""

    def __init__(self, models: ActorCritic, settings: Ppo, total_steps: int, seed: int) -> None:
        self.models, self.settings, self.seed = models, settings, seed
        self.optimiser = Optimiser(
            models.parameters("policy"),
            settings,
            settings.learning_rate,
            settings.updates * (total_steps - settings.warmup_steps),
        )
        self.critic_optimiser: Optimiser | None = None
        if models.value_head is not None:
            self.critic_optimiser = Optimiser(
                models.parameters("critic"),
                settings,
                settings.critic_learning_rate,
                settings.updates * total_steps,
            )

    def update(
        self, step: int, rollout: Rollout, targets: Targets, critic_only: bool
    ) -> dict[str, float]:
        """All minibatches of a rollout; returns the means of their losses."""
        scored = targets.mask.any(1).nonzero()[:, 0].cpu()  # unscored responses teach nothing
        records = [
            self._minibatch(rollout, targets, rows, critic_only)
            for rows in self.minibatches(step, scored)
            if len(rows)
        ]
        return {key: sum(record[key] for record in records) / len(records) for key in records[0]}

    def minibatches(self, step: int, rows: torch.Tensor) -> Iterator[torch.Tensor]:
        """The rows of each optimiser step: every epoch shuffles them anew and cuts them into equal parts."""
        for epoch in range(self.settings.epochs):
            random = generator(torch.device("cpu"), self.seed, "minibatches", step, epoch)
            shuffled = rows[torch.randperm(len(rows), generator=random)]
            yield from shuffled.tensor_split(self.settings.minibatches)

    def state(self) -> dict[str, Any]:
        """The optimisers with their schedules."""
        state = {"policy_optimiser": self.optimiser.state_dict()}
        if self.critic_optimiser is not None:
            state["critic_optimiser"] = self.critic_optimiser.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.optimiser.load_state_dict(state["policy_optimiser"])
        if self.critic_optimiser is not None:
            self.critic_optimiser.load_state_dict(state["critic_optimiser"])

    def _minibatch(
        self, rollout: Rollout, targets: Targets, rows: torch.Tensor, critic_only: bool
    ) -> dict[str, float]:
        """One optimiser step of the critic and, after the warm-up, of the policy."""
        count = targets.mask[rows].sum()
        sums: dict[str, float] = {}
        for part in micro_batches(rollout.lengths, rows, self.settings.micro_batch):
            for key, value in self._backward(rollout, targets, part, count, critic_only).items():
                sums[key] = sums.get(key, 0.0) + float(value) / float(count)

        if self.critic_optimiser is not None:
            sums["grad_norm/critic"], sums["lr/critic"] = self.critic_optimiser.step()
        if not critic_only:
            sums["grad_norm/policy"], sums["lr/policy"] = self.optimiser.step()
        return sums

    def _backward(
        self,
        rollout: Rollout,
        targets: Targets,
        rows: torch.Tensor,
        count: torch.Tensor,
        critic_only: bool,
    ) -> dict[str, torch.Tensor]:
        """Accumulate the gradients of a few rows; returns sums over their tokens."""
        width = int(rollout.lengths[rows].max())
        tokens, part = rollout.tokens[rows, :width], targets.part(rows, width - 1)
        if critic_only:
            return self._value_pass(tokens, part, count)
        if self.models.value_head is None or self.models.critic == "policy":
            return self._policy_pass(tokens, part, count)
        return self._policy_pass(tokens, part, count) | self._value_pass(tokens, part, count)

    def _policy_pass(
        self, tokens: torch.Tensor, targets: Targets, count: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Gradients of the policy; with a value head on its layers, of both losses."""
        settings, mask = self.settings, targets.mask
        entropy = settings.entropy_coef > 0
        # The backward pass runs the layers again where activations are not kept: the same adapter has to be active.
        with self.models.training("policy") as model:
            states = last_states(model, tokens)
            facts = token_logp(model, states, tokens, mask, settings.temperature, entropy)
            logp = facts[..., 0]
            old_logp = logp.detach() if targets.old_logp is None else targets.old_logp
            chosen = Chosen(logp, old_logp, targets.advantages, mask, targets.weights)
            policy, clipped = LOSSES[settings.loss](chosen, settings)

            sums = {"loss/policy": policy, "clip_fraction": clipped}
            loss = policy
            if entropy:
                loss = loss - settings.entropy_coef * (facts[..., 1] * mask).sum()
            if targets.reference is not None:
                kl = kl_estimate(logp, targets.reference, settings.kl_estimator)
                loss = loss + targets.kl_coef * (kl * mask).sum()
            if self.models.value_head is not None and self.models.critic == "policy":
                sums |= self._value_loss(states, targets)
                loss = loss + settings.value_coef * sums["loss/value"]
            (loss / count).backward()  # type: ignore[no-untyped-call]
        return {key: value.detach() for key, value in sums.items()}

    def _value_pass(
        self, tokens: torch.Tensor, targets: Targets, count: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Gradients of the critic alone; the policy's layers, where it stands on them, do not learn from it."""
        with self.models.training(self.models.critic) as model:
            states = last_states(model, tokens)
            if self.models.critic == "policy":
                states = states.detach()
            sums = self._value_loss(states, targets)
            (sums["loss/value"] / count).backward()  # type: ignore[no-untyped-call]
        return {key: value.detach() for key, value in sums.items()}

    def _value_loss(self, states: torch.Tensor, targets: Targets) -> dict[str, torch.Tensor]:
        values = self.models.values_of(states)
        error, clipped = value_loss(
            values, targets.old_values, targets.returns, targets.mask, self.settings.value_clip
        )
        return {"loss/value": error, "value_clip_fraction": clipped}
