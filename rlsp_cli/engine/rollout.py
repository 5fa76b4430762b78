"""Rollouts: responses sampled from the policy, their scores, and the log-probabilities that PPO compares with.

N sequences of at most T+1 tokens; position t of an (N, T) tensor concerns the choice of token t+1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.batch import micro_batches, pad
from rlsp_cli.engine.decode import Generated
from rlsp_cli.rewards.sample import Sample, SampleScore


@dataclass(frozen=True)
class Rollout:
    """One step's responses. `tokens` (N, T+1), `mask` (N, T) is 1 where a response token is chosen."""

    samples: Sequence[Sample]
    scores: Sequence[SampleScore]
    tokens: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor  # (N,) tokens of prompt and response


def as_tensors(
    prompts: Sequence[list[int]], generated: Sequence[Generated], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens (N, T+1), response mask (N, T) and lengths (N,)."""
    sequences = [
        prompt + response.tokens for prompt, response in zip(prompts, generated, strict=True)
    ]
    tokens = pad(sequences, pad_id, device)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    first = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    position = torch.arange(tokens.shape[1] - 1, device=device)
    mask = (position >= first[:, None]) & (position < (lengths.to(device) - 1)[:, None])
    return tokens, mask.float(), lengths


def log_probabilities(
    logits: torch.Tensor, tokens: torch.Tensor, temperature: float
) -> torch.Tensor:
    """(N, T+1, V) logits -> (N, T) log-probability of each next token under the sampling temperature."""
    scaled = logits[:, :-1].float() / temperature
    return scaled.gather(-1, tokens[:, 1:, None]).squeeze(-1) - scaled.logsumexp(-1)


def entropy(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """(N, T+1, V) logits -> (N, T) entropy of the choice at each position, in nats."""
    logp = (logits[:, :-1].float() / temperature).log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


@torch.no_grad()
def in_micro_batches(
    function: Callable[[torch.Tensor], torch.Tensor],
    tokens: torch.Tensor,
    lengths: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """Apply `function` ((n, t+1) tokens -> (n, t, ...)) to all rows, a few of similar length at a time; (N, T, ...)."""
    result: torch.Tensor | None = None
    for rows in micro_batches(lengths, torch.arange(len(tokens)), size):
        part = function(tokens[rows, : int(lengths[rows].max())])
        if result is None:
            result = part.new_zeros(len(tokens), tokens.shape[1] - 1, *part.shape[2:])
        result[rows, : part.shape[1]] = part
    assert result is not None, "a rollout has at least one response"
    return result


def last_states(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """(N, T) tokens -> (N, T, D) hidden states before the language-model head."""
    states: torch.Tensor = model.base_model(tokens, use_cache=False).last_hidden_state
    return states
