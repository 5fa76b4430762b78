"""Log-probabilities and entropies of chosen tokens, without the logits of whole sequences in memory.

N sequences of T+1 tokens, D wide states, V words of the vocabulary; position t of an (N, T) tensor
concerns the choice of token t+1. Logits in float32 for all positions are the largest tensor of
training by far (4 V bytes a token, several times over). Here they exist for a chunk of the
positions that a response chooses. The backward pass computes them again where the head learns, and
does without them where it is frozen.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

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
    head, words = head_of(model), model.config.get_text_config().vocab_size
    chunks = max(1, min(len(targets), math.ceil(len(targets) * words / _CHUNK)))
    *pieces, last = zip(states.tensor_split(chunks), targets.tensor_split(chunks), strict=True)

    facts_of = _forgetful(model, entropy)
    parts = [facts_of(head, *piece, temperature, entropy) for piece in pieces]
    # The backward pass begins with the last chunk, so its logits may as well stay until then.
    parts.append(choice_facts(head, *last, temperature, entropy))

    facts = torch.zeros(*mask.shape, 1 + entropy, device=mask.device)
    return facts.masked_scatter(chosen[..., None], torch.cat(parts))


def _forgetful(model: PreTrainedModel, entropy: bool) -> Callable[..., torch.Tensor]:
    """`choice_facts`, in a form whose logits do not wait in memory for the backward pass."""
    if not torch.is_grad_enabled():
        return choice_facts
    learns = any(weight.requires_grad for weight in model.get_output_embeddings().parameters())
    if learns or entropy:
        return partial(checkpoint, choice_facts, use_reentrant=False)
    return _OfFrozenHead.apply  # type: ignore[no-any-return]


class _OfFrozenHead(torch.autograd.Function):
    """Log-probabilities by a head that does not learn: the gradient of the states is computed in advance.

    It takes the place of the logits, which are V / D times as large, and saves computing them again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        head: Callable[[torch.Tensor], torch.Tensor],
        states: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        entropy: bool,
    ) -> torch.Tensor:
        with torch.enable_grad():
            inputs = states.detach().requires_grad_()
            logp = choice_facts(head, inputs, targets, temperature, entropy)

        # A row of the sum's gradient is that of the row's own log-probability: no other depends on its state.
        (slopes,) = torch.autograd.grad(logp, inputs, torch.ones_like(logp))
        ctx.save_for_backward(slopes)
        return logp.detach()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return None, gradient * slopes, None, None, None


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
