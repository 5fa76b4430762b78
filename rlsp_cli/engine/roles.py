"""The models of a training stage by their role: the policy, the reference it started from, the critic's layers, a PRM.

Two ways to have them: a copy of the weights for each (`Copies`), or one set of weights with an
adapter for each that learns (`Adapters`).
"""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from rlsp_cli.engine import adapter
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.optimisation import Optimisation

Role = Literal["policy", "reference", "critic", "prm"]


class Roles(Protocol):
    """The models of a stage. `policy` is the one that is decoded and saved."""

    policy: PreTrainedModel

    def playing(self, role: Role) -> AbstractContextManager[PreTrainedModel]:
        """The model of a role. A forward pass and its backward pass belong into one context."""
        ...

    def parameters(self, role: Role) -> list[nn.Parameter]:
        """What an optimiser changes for a role."""
        ...

    def state(self) -> dict[Role, dict[str, torch.Tensor]]:
        """What has been learned and is not in the files of the policy's checkpoint."""
        ...

    def restore(self, folder: Path, state: dict[Role, dict[str, torch.Tensor]]) -> None:
        """Go on from a checkpoint: the policy's files in `folder`, and what `state` gave."""
        ...


def make_roles(
    policy: PreTrainedModel, settings: Optimisation, seed: int, others: tuple[Role, ...] = ()
) -> Roles:
    """The policy and the roles beside it, as `settings.lora` says."""
    if settings.lora is None:
        return Copies(policy, others)
    return Adapters(policy, settings.lora, seed, others)


class Copies:
    """Full fine-tuning: each role has weights of its own."""

    def __init__(self, policy: PreTrainedModel, others: tuple[Role, ...] = ()) -> None:
        self.policy = policy
        self._models: dict[Role, PreTrainedModel] = {"policy": policy}
        if "reference" in others:
            self._models["reference"] = copy.deepcopy(policy).requires_grad_(False)
        if "critic" in others:
            self._models["critic"] = copy.deepcopy(policy.base_model)
        if "prm" in others:
            self._models["prm"] = copy.deepcopy(policy)

    def playing(self, role: Role) -> AbstractContextManager[PreTrainedModel]:
        """The model of a role."""
        return nullcontext(self._models[role])

    def parameters(self, role: Role) -> list[nn.Parameter]:
        """All weights of a role."""
        return list(self._models[role].parameters())

    def state(self) -> dict[Role, dict[str, torch.Tensor]]:
        """What other roles have learned: the policy's weights are in files, the reference's as they were."""
        kept = ("policy", "reference")
        return {role: m.state_dict() for role, m in self._models.items() if role not in kept}

    def restore(self, folder: Path, state: dict[Role, dict[str, torch.Tensor]]) -> None:
        """Take up the policy's weights from files, those of other roles from `state`."""
        restored = type(self.policy).from_pretrained(folder, dtype=torch.float32)
        self.policy.load_state_dict(restored.state_dict())
        for role, weights in state.items():
            self._models[role].load_state_dict(weights)


class Adapters:
    """LoRA: the base weights are in memory once, and the reference is the base without an adapter."""

    def __init__(
        self, policy: PreTrainedModel, lora: Lora, seed: int, others: tuple[Role, ...] = ()
    ) -> None:
        self.policy = policy.requires_grad_(False)
        self._learning: list[Role] = ["policy", *(role for role in others if role != "reference")]
        for role in self._learning:
            adapter.add(policy, lora, role, seed)
        # Looked up once: each pass through the model activates a role, and comes back to the policy.
        self._weights = {role: adapter.weights(policy, role) for role in self._learning}
        self._activate("policy")

    @contextmanager
    def playing(self, role: Role) -> Iterator[PreTrainedModel]:
        """The base with the role's adapter, or without one; afterwards it is the policy again."""
        if role == "reference":
            self.policy.disable_adapters()
        else:
            self._activate(role)
        try:
            yield self.policy
        finally:
            self.policy.enable_adapters()
            self._activate("policy")

    def parameters(self, role: Role) -> list[nn.Parameter]:
        """The weights of the role's adapter."""
        return list(self._weights[role].values())

    def state(self) -> dict[Role, dict[str, torch.Tensor]]:
        """The weights of all adapters."""
        return {
            role: {path: weight.detach() for path, weight in weights.items()}
            for role, weights in self._weights.items()
        }

    def restore(self, folder: Path, state: dict[Role, dict[str, torch.Tensor]]) -> None:
        """Take up the adapters; the base has not changed."""
        for role, weights in state.items():
            adapter.load(self.policy, role, weights)

    def _activate(self, role: Role) -> None:
        self.policy.set_adapter(role)
        # peft freezes what is not active; each role's gradients go to its own optimiser anyway.
        for parameter in self.parameters(role):
            parameter.requires_grad_(True)
