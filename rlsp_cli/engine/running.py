"""A batch of sequences that grow token by token, while the model's cache remembers what it has seen of them."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

_CACHE_NAMES = ("past_key_values", "cache_params")
"""What models call the argument: keys and values, or the states of recurrent layers; a DynamicCache holds both."""


class Running:
    """B sequences, all of them with the same number of tokens after their prompts."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int
    ) -> None:
        self.count = len(prompts)
        self._model, self._cache = model, DynamicCache(config=model.config)
        self._takes = inspect.signature(model.forward).parameters.keys()
        self._tokens, self._mask = _left_pad(prompts, pad_id, model.device)
        if self._mask is None:
            self._positions = torch.arange(self._tokens.shape[1], device=model.device).expand_as(
                self._tokens
            )
        else:
            self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)

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

    def append(self, tokens: torch.Tensor) -> None:
        """Go on with (B,) tokens."""
        self._tokens, self._positions = tokens[:, None], self._positions[:, -1:] + 1
        if self._mask is not None:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with (b,) of the sequences."""
        self._cache.reorder_cache(rows)  # the one selection that layers of every kind have  # type: ignore[arg-type]
        self.count, self._tokens, self._positions = (
            len(rows),
            self._tokens[rows],
            self._positions[rows],
        )
        self._mask = self._mask[rows] if self._mask is not None else None


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
