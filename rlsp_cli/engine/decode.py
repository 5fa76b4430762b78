"""Sampling responses with a key-value cache, dropping sequences as they finish.

Shapes: B sequences still running, V words of the vocabulary.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.running import Running
from rlsp_cli.engine.trial import handling_of

_COMPACT_BELOW = 0.8
"""Share of running sequences in the batch below which the finished ones are dropped: each drop copies the cache."""


@dataclass(frozen=True)
class Generated:
    """Tokens of one response, its end token included; `truncated` when the length limit ended it.

    `logprob` is the sum of their log-probabilities (nats, at temperature 1), where it was asked
    for.
    """

    tokens: list[int]
    truncated: bool
    logprob: float | None = None


@torch.no_grad()  # not inference_mode, under which autocast would cast every weight again at each step
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
    """One response to each prompt, in order; `temperature` 0 is greedy.

    RecipeError for a model whose cache cannot be relied on (see `trial.py`).
    """
    handling = handling_of(model)
    responses = [Generated([], True)] * len(prompts)
    for rows in _batches(prompts, handling.mixes_lengths):
        decoded = _decode(
            Running(model, [prompts[row] for row in rows], pad_id),
            max_new_tokens,
            partial(choose, temperature=temperature, top_p=top_p, random=random),
            torch.tensor(sorted(eos_ids), device=model.device),
            handling.drops_rows,
            logprobs,
        )
        for row, response in zip(rows, decoded, strict=True):
            responses[row] = response
    return responses


def _batches(prompts: Sequence[Sequence[int]], mix: bool) -> Iterator[list[int]]:
    """Rows that are decoded together: all of them, or those with prompts of one length."""
    if mix:
        yield list(range(len(prompts)))
        return
    for length in sorted({len(prompt) for prompt in prompts}):
        yield [row for row, prompt in enumerate(prompts) if len(prompt) == length]


def _decode(
    running: Running,
    max_new_tokens: int,
    choice: Callable[[torch.Tensor], torch.Tensor],
    eos: torch.Tensor,
    drops_rows: bool,
    logprobs: bool,
) -> list[Generated]:
    """A batch to its end; `choice` takes (B, V) logits to (B,) tokens."""
    count = running.count
    responses: list[list[int]] = [[] for _ in range(count)]
    logprob = torch.zeros(count, dtype=torch.float64)
    finished = [False] * count
    rows = torch.arange(count)  # (B,) index of each running row in `responses`
    done = torch.zeros(count, dtype=torch.bool, device=eos.device)  # (B,)
    for _ in range(max_new_tokens):
        logits = running.logits()
        chosen = choice(logits)
        for row, token, over in zip(rows.tolist(), chosen.tolist(), done.tolist(), strict=True):
            if not over:
                responses[row].append(token)
        if logprobs:
            of_chosen = logits.float().log_softmax(-1).gather(1, chosen[:, None])[:, 0]
            logprob[rows] += of_chosen.masked_fill(done, 0.0).double().cpu()
        done = done | torch.isin(chosen, eos)
        for row in rows[done.cpu()].tolist():
            finished[row] = True
        going = ~done
        if not going.any():
            break
        running.append(chosen)
        if drops_rows and going.sum() < _COMPACT_BELOW * len(going):
            running.keep(going.nonzero()[:, 0])
            rows, done = rows[going.cpu()], done[going]
    sums = logprob.tolist() if logprobs else [None] * count
    return [
        Generated(r, not over, total)
        for r, over, total in zip(responses, finished, sums, strict=True)
    ]


def choose(
    logits: torch.Tensor, temperature: float, top_p: float, random: torch.Generator | None
) -> torch.Tensor:
    """(B, V) logits -> (B,) tokens. Sampling takes the winner of an exponential race, which needs no cumulative sum."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        probabilities = _nucleus(probabilities, top_p)
    return (probabilities / torch.empty_like(probabilities).exponential_(generator=random)).argmax(
        -1
    )


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the smallest set of words whose probabilities reach `top_p`; the most probable word always stays."""
    ordered, order = probabilities.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)
