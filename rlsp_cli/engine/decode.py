"""Sampling responses with a key-value cache, dropping sequences as they finish.

Shapes: B sequences still running, V words of the vocabulary.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel

_COMPACT_BELOW = 0.8
"""Share of running sequences in the batch below which the finished ones are dropped: each drop copies the cache."""


@dataclass(frozen=True)
class Generated:
    """Tokens of one response, its end token included; `truncated` when the length limit ended it.

    `logprob` is the sum of their log-probabilities (nats, at temperature 1), where it was asked for.
    """

    tokens: list[int]
    truncated: bool
    logprob: float | None = None


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float = 1.0,
    eos_ids: Collection[int],
    pad_id: int,
    random: torch.Generator | None = None,
    logprobs: bool = False,
) -> list[Generated]:
    """One response to each prompt, in order; `temperature` 0 is greedy."""
    tokens, mask = _left_pad(prompts, pad_id, model.device)
    cache = DynamicCache(config=model.config)
    eos = torch.tensor(sorted(eos_ids), device=model.device)
    responses: list[list[int]] = [[] for _ in prompts]
    logprob = torch.zeros(len(prompts), dtype=torch.float64)
    finished = [False] * len(prompts)
    rows = torch.arange(len(prompts))  # (B,) index of each running row in `prompts`
    done = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)  # (B,)
    for _ in range(max_new_tokens):
        logits = model(
            tokens, past_key_values=cache, use_cache=True, logits_to_keep=1, **_positions(mask, tokens)
        ).logits
        chosen = choose(logits[:, -1], temperature, top_p, random)  # (B,)
        for row, token, over in zip(rows.tolist(), chosen.tolist(), done.tolist(), strict=True):
            if not over:
                responses[row].append(token)
        if logprobs:
            of_chosen = logits[:, -1].float().log_softmax(-1).gather(1, chosen[:, None])[:, 0]
            logprob[rows] += of_chosen.masked_fill(done, 0.0).double().cpu()
        done = done | torch.isin(chosen, eos)
        for row in rows[done.cpu()].tolist():
            finished[row] = True
        running = ~done
        if not running.any():
            break
        tokens = chosen[:, None]
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        if running.sum() < _COMPACT_BELOW * len(running):
            cache.batch_select_indices(running.nonzero()[:, 0])
            tokens, rows, done = tokens[running], rows[running.cpu()], done[running]
            mask = mask[running] if mask is not None else None
    sums = logprob.tolist() if logprobs else [None] * len(prompts)
    return [Generated(r, not over, total) for r, over, total in zip(responses, finished, sums, strict=True)]


def choose(logits: torch.Tensor, temperature: float, top_p: float, random: torch.Generator | None) -> torch.Tensor:
    """(B, V) logits -> (B,) tokens. Sampling takes the winner of an exponential race, which needs no cumulative sum."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        probabilities = _nucleus(probabilities, top_p)
    return (probabilities / torch.empty_like(probabilities).exponential_(generator=random)).argmax(-1)


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the smallest set of words whose probabilities reach `top_p`; the most probable word always stays."""
    ordered, order = probabilities.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)


def _left_pad(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(B, T) tokens, and their mask unless all prompts have one length: without a mask attention is faster."""
    longest = max(map(len, prompts))
    tokens = [[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    if all(len(prompt) == longest for prompt in prompts):
        return torch.tensor(tokens, device=device), None
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def _positions(mask: torch.Tensor | None, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    if mask is None:
        return {}
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {"attention_mask": mask, "position_ids": positions[:, -tokens.shape[1] :]}
