"""Rollouts: responses sampled from the policy, their scores, and the log-probabilities that PPO compares with.

N sequences of at most T+1 tokens; position t of an (N, T) tensor concerns the choice of token t+1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rlsp_cli.engine.advantage import StepReward
from rlsp_cli.engine.batch import micro_batches, pad
from rlsp_cli.engine.decode import Generated
from rlsp_cli.rewards.sample import Sample, SampleScore


@dataclass(frozen=True)
class Rollout:
    """One step's responses. `tokens` (N, T+1), `mask` (N, T) is 1 where the model chooses a token.

    `kept` (N,) has which responses are learned from, None for all; baselines count the others too.
    `baselines` (N,) are taken off the rewards, where the estimator has some of its own.
    `steps` are parts of the responses' exploration that are paid before the last token.
    """

    samples: Sequence[Sample]
    scores: Sequence[SampleScore]
    tokens: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor  # (N,) tokens of prompt and response
    recorded: torch.Tensor | None = None  # (N, T, 2) log-probability and entropy at sampling
    reported: torch.Tensor | None = None  # (N, T) log-probability by another program's computation
    kept: Sequence[bool] | None = None
    steps: Sequence[StepReward] = ()  # before alpha
    baselines: Sequence[float] | None = None


def as_tensors(
    prompts: Sequence[list[int]], generated: Sequence[Generated], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens (N, T+1), mask (N, T) of the tokens that the model chose, and lengths (N,)."""
    sequences = [
        prompt + response.tokens for prompt, response in zip(prompts, generated, strict=True)
    ]
    tokens = pad(sequences, pad_id, device)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    first = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    position = torch.arange(tokens.shape[1] - 1, device=device)
    mask = (position >= first[:, None]) & (position < (lengths.to(device) - 1)[:, None])
    for row, (prompt, response) in enumerate(zip(prompts, generated, strict=True)):
        for places in response.foreign:
            before = len(prompt) - 1
            mask[row, before + places.start : before + places.stop] = False
    return tokens, mask.float(), lengths


def reported(generated: Sequence[Generated], mask: torch.Tensor) -> torch.Tensor:
    """(N, T) log-probability of each response token, as another program says; 0 elsewhere."""
    found = torch.zeros_like(mask)
    logp = [number for response in generated for number in response.logp]
    found[mask.bool()] = torch.tensor(logp, device=mask.device)
    return found


def recorded(generated: Sequence[Generated], mask: torch.Tensor) -> torch.Tensor:
    """(N, T, 2) log-probability and entropy of each response token, as decoding recorded them; 0 elsewhere."""
    pairs = [
        pair for response in generated for pair in zip(response.logp, response.entropy, strict=True)
    ]
    found = torch.zeros(*mask.shape, 2, device=mask.device)
    found[mask.bool()] = torch.tensor(pairs, device=mask.device)
    return found


@torch.no_grad()
def in_micro_batches(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], rollout: Rollout, size: int
) -> torch.Tensor:
    """Apply `function` to all rows, a few of similar length at a time; (N, T, ...).

    It takes (n, t+1) tokens and (n, t) their mask, and gives (n, t, ...).
    """
    mask = rollout.mask
    result: torch.Tensor | None = None
    for rows in micro_batches(rollout.lengths, torch.arange(len(mask)), size):
        width = int(rollout.lengths[rows].max())
        part = function(rollout.tokens[rows, :width], mask[rows, : width - 1])
        if result is None:
            result = part.new_zeros(*mask.shape, *part.shape[2:])
        result[rows, : part.shape[1]] = part
    assert result is not None, "a rollout has at least one response"
    return result
