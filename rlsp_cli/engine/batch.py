"""Which rows make up a step, and how sequences become tensors.

Sequences are padded on the right: under causal attention no real token can see the padding, so no
mask is needed.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random

import torch


def batch_rows(rows: int, batch: int, step: int, seed: int) -> list[int]:
    """Rows of the batch or rollout number `step`: pieces of the sequence of `rows_from`."""
    return rows_from(step * batch, rows, batch, seed)


def rows_from(first: int, rows: int, count: int, seed: int | str) -> list[int]:
    """`count` rows from position `first` of one endless sequence of shuffled passes over all rows."""
    return [
        _shuffled(rows, position // rows, seed)[position % rows]
        for position in range(first, first + count)
    ]


def pad(sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> torch.Tensor:
    """(N, T) tokens, padded on the right to the longest sequence."""
    longest = max(map(len, sequences))
    return torch.tensor([list(s) + [pad_id] * (longest - len(s)) for s in sequences], device=device)


def micro_batches(lengths: torch.Tensor, rows: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Split `rows` (indices into `lengths`) into pieces of at most `size` rows of similar length."""
    ordered = rows[torch.argsort(lengths[rows], stable=True)]
    yield from ordered.split(size)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=8)
def _shuffled(rows: int, epoch: int, seed: int | str) -> list[int]:
    order = list(range(rows))
    Random(f"{seed}:{epoch}").shuffle(order)
    return order
