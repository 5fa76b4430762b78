"""A stream: rewards of single tokens that the trainer itself computes, beside those of the recipe's plugins."""

from typing import Any, NamedTuple, Protocol

import torch

from rlsp_cli.engine.rollout import Rollout


class Seen(NamedTuple):
    """A rollout, and (N, T) log-probabilities of its tokens; `reference` is None where no KL has a weight."""

    rollout: Rollout
    policy: torch.Tensor
    reference: torch.Tensor | None


class Stream(Protocol):
    """Rewards of tokens; `state` is what a checkpoint keeps of it."""

    def rewards(self, seen: Seen) -> tuple[torch.Tensor, dict[str, float]]:
        """(N, T) rewards in their final weight, and metrics; positions outside of the mask get 0."""
        ...

    def state(self) -> dict[str, Any]:
        """What it has learned, but for weights of roles."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        ...
