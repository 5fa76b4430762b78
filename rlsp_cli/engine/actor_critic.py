"""The models of PPO: the policy, the reference for its KL, and the critic with its value head.

N sequences of T+1 tokens; position t of an (N, T) tensor concerns the choice of token t+1.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.model import ValueHead, checkpoint_layers, layers_in_training
from rlsp_cli.engine.precision import autocast, computes_in_bfloat16
from rlsp_cli.engine.roles import Role, make_roles
from rlsp_cli.recipe.ppo import Ppo


class ActorCritic:
    """The policy and, where the recipe has a use for them, its reference and a critic."""

    def __init__(self, policy: PreTrainedModel, settings: Ppo, seed: int, precision: str) -> None:
        self.policy = policy.eval()  # no dropout: it would make the probability ratios noisy
        self.settings, self.precision = settings, precision

        if settings.gradient_checkpointing:
            checkpoint_layers(policy)  # before it is copied for other roles
        self.roles = make_roles(policy, settings, seed, _other_roles(settings))

        self.value_head = ValueHead(policy) if settings.estimator == "gae" else None

    @property
    def critic(self) -> Role:
        """The role whose layers the value head stands on."""
        return "critic" if self.settings.critic == "own" else "policy"

    @property
    def in_float32(self) -> bool:
        """Whether decoding and training compute in float32, and so agree on log-probabilities (`trial.py`)."""
        return not computes_in_bfloat16(self.policy, self.precision)

    def parameters(self, role: Role) -> list[torch.nn.Parameter]:
        """What an optimiser changes for a role; the critic's with its head."""
        if role != "critic":
            return self.roles.parameters(role)
        assert self.value_head is not None
        layers = self.roles.parameters("critic") if self.settings.critic == "own" else []
        return [*layers, *self.value_head.parameters()]

    def autocast(self) -> AbstractContextManager[object]:
        """The precision that the recipe asks for."""
        return autocast(self.policy, self.precision)

    @contextmanager
    def training(self, role: Role) -> Iterator[PreTrainedModel]:
        """A role's model for a forward and a backward pass, which may compute its layers a second time."""
        with self.roles.playing(role) as model, self.autocast():
            if not self.settings.gradient_checkpointing:
                yield model
                return
            with layers_in_training(model):
                yield model

    def logp(self, role: Role, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, T+1) tokens -> (N, T, 2) log-probability and entropy under a role's model, without gradients."""
        with torch.no_grad(), self.roles.playing(role) as model, self.autocast():
            states = last_states(model, tokens)
            return token_logp(model, states, tokens, mask, self.settings.temperature, entropy=True)

    def values(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, T+1) tokens -> (N, T) values, without gradients."""
        with torch.no_grad(), self.roles.playing(self.critic) as model, self.autocast():
            return self.values_of(last_states(model, tokens))

    def values_of(self, states: torch.Tensor) -> torch.Tensor:
        """(N, T+1, D) hidden states of the critic's layers -> (N, T) values."""
        assert self.value_head is not None
        values: torch.Tensor = self.value_head(states)
        return values[:, :-1]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the files of the policy."""
        state: dict[str, Any] = {"roles": self.roles.state()}
        if self.value_head is not None:
            state["value_head"] = self.value_head.state_dict()
        return state

    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: the policy's files in `folder`, and what `state` gave."""
        self.roles.restore(folder, state["roles"])
        if self.value_head is not None:
            self.value_head.load_state_dict(state["value_head"])


def _other_roles(settings: Ppo) -> tuple[Role, ...]:
    """The roles beside the policy that these settings have a use for."""
    roles: list[Role] = []
    if settings.has_reference:
        roles.append("reference")
    if settings.has_own_critic:
        roles.append("critic")
    if settings.implicit_prm is not None:
        roles.append("prm")
    return tuple(roles)
