"""Keys and values of sequences that are decoded together, in buffers with room to grow.

transformers' DynamicCache copies everything that it holds at each token, and cannot take another
sequence in. Here a token is written in place, and sequences join while others are half done.
"""

import torch
from transformers.cache_utils import CacheLayerMixin

_HEADROOM = 1.5
"""A full buffer is replaced by one this many times as long, so that a token costs no copy."""


class GrowingLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values: (B, heads, capacity, width), of which `length` columns are in use.

    A layer with a sliding window keeps what has left the window too: the attention mask hides it.
    """

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Empty buffers for the batch, heads and widths of the first tokens."""
        self.dtype, self.device = _compute_dtype(value_states), value_states.device
        self.keys = self._buffer(key_states, 0)
        self.values = self._buffer(value_states, 0)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (B, heads, t, width) new keys and values; returns all that are in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)

        start, end = self.length, self.length + key_states.shape[-2]
        if end > self.keys.shape[-2]:
            self._reserve(int(end * _HEADROOM))

        self.keys[..., start:end, :] = key_states
        self.values[..., start:end, :] = value_states
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]

    def keep(self, rows: torch.Tensor, first: int) -> None:
        """Go on with (b,) of the rows, which may repeat, and with the columns from `first` on."""
        self.keys = self.keys[rows, :, first : self.length]
        self.values = self.values[rows, :, first : self.length]
        self.length -= first

    def join(self, other: "GrowingLayer") -> None:
        """Add the other's rows. Both end in the last column, where the next token will be written."""
        length = max(self.length, other.length)
        capacity = int(length * _HEADROOM)
        self.keys = self._stacked(self.keys, other.keys, other.length, length, capacity)
        self.values = self._stacked(self.values, other.values, other.length, length, capacity)
        self.length = length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the mask of the next tokens covers, and the first of them."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.length

    def get_max_length(self) -> int:
        """-1: it grows."""
        return -1

    def _buffer(self, like: torch.Tensor, capacity: int) -> torch.Tensor:
        batch, heads, _, width = like.shape
        return torch.zeros(batch, heads, capacity, width, dtype=self.dtype, device=self.device)

    def _reserve(self, capacity: int) -> None:
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = self._buffer(old, capacity)
            new[..., : self.length, :] = old[..., : self.length, :]
            setattr(self, name, new)

    def _stacked(
        self, ours: torch.Tensor, theirs: torch.Tensor, other: int, length: int, capacity: int
    ) -> torch.Tensor:
        stacked = self._buffer(ours[:1], capacity).repeat(len(ours) + len(theirs), 1, 1, 1)
        stacked[: len(ours), :, length - self.length : length] = ours[..., : self.length, :]
        stacked[len(ours) :, :, length - other : length] = theirs[..., :other, :]
        return stacked


def _compute_dtype(states: torch.Tensor) -> torch.dtype:
    """What attention computes in: under autocast, keys leave their rotation in float32 all the same."""
    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
