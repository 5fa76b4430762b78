"""Log-probabilities and entropies of chosen tokens, without the logits of whole sequences in memory.

N sequences of T+1 tokens, D wide states, V words of the vocabulary; position t of an (N, T) tensor
concerns the choice of token t+1. Logits in float32 for all positions are the largest tensor of
training by far (4 V bytes a token, several times over). Here they exist for a chunk of the
positions that a response chooses, and are computed again in the backward pass.
"""

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rlsp_cli.engine.head import head_of

_CHUNK = 2**24
"""Logits in one chunk: 64 MiB in float32, which is 340 tokens of a vocabulary of 49,152."""


def last_states(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """(N, T) tokens -> (N, T, D) hidden states before the language-model head."""
    states: torch.Tensor = model.base_model(tokens, use_cache=False).last_hidden_state
    return states


def token_logp(
    model: PreTrainedModel,
    states: torch.Tensor,
    tokens: torch.Tensor,
    mask: torch.Tensor,
    temperature: float = 1.0,
    entropy: bool = False,
) -> torch.Tensor:
    """(N, T, 1) log-probability of each next token, and with `entropy` (N, T, 2) also that of its choice.

    In nats; 0 outside the mask.

    `states` (N, T+1, D) are the model's for `tokens` (N, T+1), `mask` (N, T) is 1 where a token is
    chosen. Both are of the softmax at `temperature`.
    """
    chosen = mask.bool()
    states, targets = states[:, :-1][chosen], tokens[:, 1:][chosen]  # (M, D), (M,)
    head = head_of(model)
    size = max(1, _CHUNK // model.config.get_text_config().vocab_size)

    parts = []
    for start in range(0, len(targets), size):
        piece = slice(start, start + size)
        given = (head, states[piece], targets[piece], temperature, entropy)
        if torch.is_grad_enabled():
            # Both are computed again in the backward pass, so that one chunk's logits exist at once.
            parts.append(checkpoint(choice_facts, *given, use_reentrant=False))
        else:
            parts.append(choice_facts(*given))

    facts = torch.zeros(*mask.shape, 1 + entropy, device=mask.device)
    return facts.masked_scatter(chosen[..., None], torch.cat(parts))


def choice_facts(
    head: Callable[[torch.Tensor], torch.Tensor],
    states: torch.Tensor,
    targets: torch.Tensor,
    temperature: float,
    entropy: bool,
) -> torch.Tensor:
    """(M, D) states and (M,) chosen tokens -> (M, 1) log-probability, or (M, 2) with the entropy of the choice."""
    logits = head(states).float() / temperature
    logp = logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)
    if not entropy:
        return logp[:, None]
    return torch.stack([logp, torch.special.entr(torch.softmax(logits, -1)).sum(-1)], -1)
