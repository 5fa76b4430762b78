"""How a model is decoded, found by trying: a few tokens with its cache, beside a pass over the same without one.

Models differ in what they remember, in whether padding leaks into it, and in whether ended
sequences can be taken out of it. A list of names would be out of date with the next release of
transformers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.batch import pad
from rlsp_cli.engine.head import head_of
from rlsp_cli.engine.running import Running
from rlsp_cli.errors import RecipeError

_SEQUENCES, _TOKENS, _NEW = 3, 12, 4
_MIXED, _EQUAL = (8, 1, 5), (5, 5, 5)
"""Prompt lengths of the trial."""
_TOLERANCE = {torch.float32: 0.01, torch.bfloat16: 0.2}
"""Largest difference of two log-probabilities, as a share of their spread. Rounding makes some 0.00001 and 0.02."""


@dataclass(frozen=True)
class Handling:
    """What a model's cache allows.

    `grows`: sequences can leave and join while others are half done, in a cache of our own.
    Otherwise it is transformers' cache, with prompts of several lengths in one batch if
    `mixes_lengths`, and finished sequences taken out of it if `drops_rows`.
    """

    grows: bool
    mixes_lengths: bool
    drops_rows: bool


def handling_of(model: PreTrainedModel) -> Handling:
    """The fastest handling that is right for this model; RecipeError when none is. A model is tried once."""
    if model not in _TRIED:
        _TRIED[model] = _try(model)
    return _TRIED[model]


_TRIED: "WeakKeyDictionary[PreTrainedModel, Handling]" = WeakKeyDictionary()


def refuse_leaks(model: PreTrainedModel) -> None:
    """RecipeError when padding on the right changes what stands before it: training batches have such padding."""
    with _plain(model):
        tokens = _trial_tokens(model)
        expected = _one_by_one(model, tokens)
        leak = _fault(model, lambda: _padding_gap(model, tokens, expected))
        # A classifier's head is not run alone.
        words = model.get_output_embeddings() is not None
        wrong_head = words and _fault(model, lambda: _head_gap(model, tokens, expected))
    if leak or wrong_head:
        kind = model.config.model_type
        when = "when a batch is padded on the right" if leak else "when its head is run alone"
        raise RecipeError(
            f"the embedded engine cannot train model type {kind}: {leak or wrong_head} {when}; "
            "choose a causal language model, or another backend"
        )


def _try(model: PreTrainedModel) -> Handling:
    with _plain(model):
        tokens = _trial_tokens(model)
        expected = _one_by_one(model, tokens)

        def fault(lengths: Sequence[int], drops: bool) -> str | None:
            return _fault(model, lambda: _decoding_gap(model, tokens, expected, lengths, drops))

        if _fault(model, lambda: _joining_gap(model, tokens, expected)) is None:
            return Handling(grows=True, mixes_lengths=True, drops_rows=True)

        drops = fault(_EQUAL, True) is None
        wrong = None if drops else fault(_EQUAL, False)
        if wrong is None:
            mixes = fault(_MIXED, drops) is None
            return Handling(grows=False, mixes_lengths=mixes, drops_rows=drops)
    raise RecipeError(
        f"the embedded engine cannot decode model type {model.config.model_type}: {wrong} when it goes on from its "
        "cache; leave sampling to a server (eval.url or eval.serve, ppo.sampler: vllm), or choose another model"
    )


@contextmanager
def _plain(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout, gradients and autocast, so that what differs is not rounding."""
    training = model.training
    model.eval()
    with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
        yield
    model.train(training)


def _trial_tokens(model: PreTrainedModel) -> torch.Tensor:
    """(_SEQUENCES, _TOKENS) random tokens, the same ones each time."""
    random = torch.Generator().manual_seed(0)
    words = model.config.get_text_config().vocab_size
    return torch.randint(words, (_SEQUENCES, _TOKENS), generator=random).to(model.device)


def _one_by_one(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of each sequence in a pass of its own: what decoding and training have to agree with."""
    return torch.cat([model(row[None], use_cache=False).logits for row in tokens])


def _padding_gap(model: PreTrainedModel, tokens: torch.Tensor, expected: torch.Tensor) -> float:
    lengths = (_TOKENS, 2, 7)
    batch = pad([row[:n].tolist() for row, n in zip(tokens, lengths, strict=True)], 0, model.device)
    found = model(batch, use_cache=False).logits
    return max(_gap(found[row, :n], expected[row, :n]) for row, n in enumerate(lengths))


def _head_gap(model: PreTrainedModel, tokens: torch.Tensor, expected: torch.Tensor) -> float:
    states = model.base_model(tokens, use_cache=False).last_hidden_state
    return _gap(head_of(model)(states), expected)


def _decoding_gap(
    model: PreTrainedModel,
    tokens: torch.Tensor,
    expected: torch.Tensor,
    lengths: Sequence[int],
    drops: bool,
) -> float:
    """Decode the sequences as if the model had chosen them; with `drops` the first one ends early."""
    running = Running(model, _beginnings(tokens, lengths), 0, grows=False)
    rows, last = torch.arange(_SEQUENCES), torch.tensor(lengths) - 1
    gap = 0.0
    for new in range(_NEW):
        gap = max(gap, _gap(running.logits(), expected[rows, last[rows] + new]))
        running.append(tokens[rows, last[rows] + new + 1])
        if drops and new == 1:
            rows = rows[1:]
            running.keep(rows.to(model.device))
    return gap


def _joining_gap(model: PreTrainedModel, tokens: torch.Tensor, expected: torch.Tensor) -> float:
    """Decode two sequences, the first of which ends early; a copy of it and the third one join the second."""
    last = torch.tensor(_MIXED) - 1
    running = Running(model, _beginnings(tokens[:2], _MIXED[:2]), 0, grows=True)
    rows, new, gap = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long), 0.0
    for step in range(_NEW):
        gap = max(gap, _gap(running.logits(), expected[rows, last[rows] + new]))
        running.append(tokens[rows, last[rows] + new + 1])
        new = new + 1
        if step == 1:
            running.keep(torch.tensor([1], device=model.device))
            again = [2, 0, 0]
            others = tokens[again], [_MIXED[row] for row in again]
            running.join(Running(model, _beginnings(*others), 0, grows=True))
            rows = torch.tensor([1, *again])
            new = torch.tensor([2, 0, 0, 0])
    return gap


def _beginnings(tokens: torch.Tensor, lengths: Sequence[int]) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)]


def _gap(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of the log-probabilities of possible words, as a share of their standard deviation."""
    logp, wanted = logits.float().log_softmax(-1), expected.float().log_softmax(-1)
    possible = wanted > -50
    gap = float((logp - wanted)[possible].abs().max() / wanted[possible].std())
    return (
        gap if math.isfinite(gap) else math.inf
    )  # nan is larger than nothing, and would be lost in a max()


def _fault(model: PreTrainedModel, gap: Callable[[], float]) -> str | None:
    """What is wrong in words, or None: a model that cannot take what it is given raises whatever it likes."""
    try:
        found = gap()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"it raises {type(error).__name__} ({str(error).strip().partition(chr(10))[0]})"
    if math.isinf(found):
        return "its log-probabilities are not numbers"
    return (
        None
        if found <= _TOLERANCE.get(model.dtype, _TOLERANCE[torch.bfloat16])
        else f"its log-probabilities are off by {found:.0%} of their spread"
    )
