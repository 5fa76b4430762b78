"""The model that is served, with its tokenizer: a language model, or a classifier of tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.backends.local.room import refuse_too_large
from rlsp_cli.engine.classifier import class_probabilities, classifies_tokens, load_classifier
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.ending import end_ids, refuse_unreachable_end
from rlsp_cli.engine.model import load_model, load_tokenizer, pick_device, refuse_overflow
from rlsp_cli.engine.precision import autocast, computes_in_bfloat16
from rlsp_cli.engine.prompt_logprobs import prompt_logprobs
from rlsp_cli.engine.seed import derive_seed
from rlsp_cli.engine.stop_text import stops_at
from rlsp_cli.engine.trial import handling_of, refuse_leaks
from rlsp_cli.errors import UsageError

_AT_ONCE = 64
"""Continuations that are decoded together."""
_TOKENS_AT_ONCE = 2**14
"""Tokens that are read together, padding included."""


class Continue(NamedTuple):
    """Continuations to draw from a prompt."""

    prompt: tuple[int, ...]
    copies: int
    seed: int


class Way(NamedTuple):
    """How continuations are drawn; those that are drawn in one way can be drawn together."""

    max_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model in evaluation mode; `path` is what it was loaded from."""

    path: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    precision: str
    classifies: bool

    @property
    def length(self) -> int | None:
        """The most tokens that it reads and writes; None if nothing limits them."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if limit is None else int(limit)

    def continuations(self, way: Way, tasks: Sequence[Continue]) -> list[list[Generated]]:
        """For each task, its continuations; UsageError for a model that writes none."""
        self._refuse_classifier()
        prompts = [task.prompt for task in tasks for _ in range(task.copies)]
        seeds = [
            derive_seed(task.seed, "continuation", number)
            for task in tasks
            for number in range(task.copies)
        ]
        stops = stops_at(way.stop, self.tokenizer)
        sampling = Sampling(way.max_tokens, way.temperature, way.top_p, stops=stops)

        with autocast(self.model, self.precision):
            drawn = generate(
                self.model,
                prompts,
                sampling,
                seeds=seeds,
                eos_ids=end_ids(self.model, self.tokenizer),
                pad_id=self.tokenizer.pad_token_id,
                at_once=_AT_ONCE,
            )
            ordered = iter([generated for _, generated in sorted(drawn, key=lambda pair: pair[0])])
        return [[next(ordered) for _ in range(task.copies)] for task in tasks]

    def logprobs(self, tasks: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of each token after the first; UsageError for a classifier."""
        self._refuse_classifier()
        _trust(self.model)
        pad_id = self.tokenizer.pad_token_id
        with autocast(self.model, self.precision):
            found = [prompt_logprobs(self.model, some, pad_id) for some in _together(tasks)]
        return [row for rows in found for row in rows]

    def classes(self, tasks: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        """The probabilities of the classes at each token; UsageError for a language model."""
        if not self.classifies:
            raise UsageError(f"{self.path} writes text, and does not classify tokens")
        pad_id = self.tokenizer.pad_token_id
        with autocast(self.model, self.precision):
            found = [class_probabilities(self.model, some, pad_id) for some in _together(tasks)]
        return [row for rows in found for row in rows]

    def refuse_long(self, tokens: Sequence[int], new: int) -> None:
        """DataError if these tokens and `new` ones do not fit; UsageError if there are none."""
        if not tokens:
            raise UsageError("the prompt has no tokens")
        words = self.model.config.get_text_config().vocab_size
        if not all(0 <= token < words for token in tokens):
            raise UsageError(f"token ids are from 0 to {words - 1}, found {max(tokens)}")
        refuse_overflow(self.model, [tokens], new)

    def _refuse_classifier(self) -> None:
        if self.classifies:
            raise UsageError(f"{self.path} classifies tokens, and writes no text")


def load(path: str, gpus: int, precision: str) -> Model:
    """The model of a folder or hub id, and what kind it is; NotReadyError if it cannot be served."""
    device = pick_device(gpus)
    refuse_too_large(path, device)
    tokenizer = load_tokenizer(path)

    classifies = classifies_tokens(path)
    model = (load_classifier if classifies else load_model)(path, device).eval()
    if not classifies:
        refuse_unreachable_end(model, tokenizer)
        handling_of(model)  # refuses, before anything is asked, a model that cannot be decoded

    # Weights that do not learn are only computed with, so half the memory does for them.
    if computes_in_bfloat16(model, precision):
        model = model.to(torch.bfloat16)
    return Model(path, model, tokenizer, precision, classifies)


@cache
def _trust(model: PreTrainedModel) -> None:
    """RecipeError for a model whose log-probabilities padding would change; tried once."""
    refuse_leaks(model)


def _together(sequences: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Some sequences at a time, in their order."""
    some: list[Sequence[int]] = []
    longest = 0
    for sequence in sequences:
        longest = max(longest, len(sequence))
        if some and (len(some) + 1) * longest > _TOKENS_AT_ONCE:
            yield some
            some, longest = [], len(sequence)
        some.append(sequence)
    yield some
