"""A batch of sequences that grow token by token, while the model's cache remembers what it has seen of them."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from rlsp_cli.engine.cache import GrowingLayer

_CACHE_NAMES = ("past_key_values", "cache_params")
"""What models call the argument: keys and values, or the states of recurrent layers; a DynamicCache holds both."""


class Running:
    """B sequences, all of which end in the same column: shorter ones begin with padding.

    With `grows`, attention's keys and values are in a cache of our own, and sequences can join;
    otherwise in transformers' cache for the model, whatever its layers are.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        pad_id: int,
        grows: bool,
    ) -> None:
        self.count = len(prompts)
        self._model, self._grows = model, grows
        self._cache: Cache = _growing(model) if grows else DynamicCache(config=model.config)
        self._takes = inspect.signature(model.forward).parameters.keys()
        # (B, T) the tokens that are due, their positions, and a mask over all columns so far
        self._tokens, self._mask = _left_pad(prompts, pad_id, model.device, shortest=1 + grows)
        self._positions = _positions(self._tokens, self._mask)
        if grows:
            self._read_all_but_last(prompts)

    def logits(self) -> torch.Tensor:
        """(B, V) logits of each sequence's next token."""
        options: dict[str, Any] = {
            "use_cache": True,
            "logits_to_keep": 1,
            "position_ids": self._positions,
        }
        options |= dict.fromkeys(_CACHE_NAMES, self._cache)
        options["attention_mask"] = self._mask
        known = {name: value for name, value in options.items() if name in self._takes}
        logits: torch.Tensor = self._model(self._tokens, **known).logits
        return logits[:, -1]

    def append(self, tokens: torch.Tensor, alive: torch.Tensor | int = 1) -> None:
        """Go on with (B,) tokens; where `alive` is 0 the position stays what it was."""
        self._tokens, self._positions = tokens[:, None], (self._positions[:, -1] + alive)[:, None]
        if self._mask is not None:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with (b,) of the sequences; one that is named several times goes on several times."""
        self._mask = self._mask[rows] if self._mask is not None else None
        if self._grows:
            # Columns that are padding in all of the sequences that stay are of no use.
            first = int(self._mask.any(0).int().argmax()) if self._mask is not None else 0
            self._mask = self._mask[:, first:] if self._mask is not None else None
            self._select_cache(rows, first)
        else:
            self._cache.reorder_cache(rows)  # type: ignore[arg-type]

        self.count = len(rows)
        self._tokens, self._positions = self._tokens[rows], self._positions[rows]

    def join(self, other: "Running") -> None:
        """Add sequences whose next token is due too; both of them grow."""
        for ours, theirs in zip(self._cache.layers, other._cache.layers, strict=True):
            assert isinstance(ours, GrowingLayer)
            assert isinstance(theirs, GrowingLayer)
            ours.join(theirs)

        self._mask = _stacked(self._full_mask(), other._full_mask())
        self._tokens = torch.cat([self._tokens, other._tokens])
        self._positions = torch.cat([self._positions, other._positions])
        self.count += other.count

    def _read_all_but_last(self, prompts: Sequence[Sequence[int]]) -> None:
        """Fill the cache with the prompts, equal ones once, so that only their last tokens are due."""
        due = self._tokens[:, -1:], self._positions[:, -1:], self._mask
        places: dict[tuple[int, ...], int] = {}
        copies = [places.setdefault(tuple(prompt), len(places)) for prompt in prompts]
        first = [copies.index(place) for place in range(len(places))]

        self._tokens, self._positions = self._tokens[first, :-1], self._positions[first, :-1]
        self._mask = self._mask[first, :-1] if self._mask is not None else None
        self.logits()

        self._tokens, self._positions, self._mask = due
        if len(places) < self.count:
            self._select_cache(torch.tensor(copies, device=self._model.device), 0)

    def _select_cache(self, rows: torch.Tensor, first: int) -> None:
        for layer in self._cache.layers:
            assert isinstance(layer, GrowingLayer)
            layer.keep(rows, first)

    def _full_mask(self) -> torch.Tensor:
        """(B, columns, the due token's included) 1 on tokens, 0 on padding."""
        if self._mask is not None:
            return self._mask
        columns = self._cache.get_seq_length() + 1
        return self._tokens.new_ones(self.count, columns)


def _growing(model: PreTrainedModel) -> Cache:
    layers = model.config.get_text_config().num_hidden_layers
    return Cache(layers=[GrowingLayer() for _ in range(layers)])


def _stacked(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Rows of two masks, padded on the left to the same width."""
    width = max(ours.shape[1], theirs.shape[1])
    padded = [torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (ours, theirs)]
    return torch.cat(padded)


def _left_pad(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device, shortest: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(B, T) tokens, and their mask unless all prompts have one length: without a mask attention is faster."""
    longest = max(shortest, *map(len, prompts))
    tokens = [[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    if all(len(prompt) == longest for prompt in prompts):
        return torch.tensor(tokens, device=device), None
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def _positions(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(B, T) the place of each token in its sequence; 0 for padding."""
    if mask is None:
        return torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    return (mask.cumsum(-1) - 1).clamp(min=0)
