"""Which rows make up a step, and how sequences become tensors.

Sequences are padded on the right: under causal attention no real token can see the padding, so no mask is needed.
"""

from collections.abc import Iterator, Sequence
from random import Random

import torch

_WINDOW = 16
"""Batches whose rows are sorted together: similar lengths share a batch, and the order of batches stays random."""


def bucketed_batches(lengths: Sequence[int], batch: int, random: Random) -> list[list[int]]:
    """One epoch: row indices in batches of similar length, in random order; the incomplete last batch is left out.

    With fewer rows than `batch`, all rows make one batch.
    """
    order = list(range(len(lengths)))
    random.shuffle(order)
    if len(order) <= batch:
        return [order]
    batches = []
    for start in range(0, len(order), _WINDOW * batch):
        window = sorted(order[start : start + _WINDOW * batch], key=lambda row: lengths[row])
        batches += [window[i : i + batch] for i in range(0, len(window) - batch + 1, batch)]
    random.shuffle(batches)
    return batches


def prompt_order(rows: int, batch: int, step: int, seed: int) -> list[int]:
    """Rows of rollout number `step`: consecutive pieces of one endless sequence of shuffled passes over the rows."""
    return [
        _shuffled(rows, position // rows, seed)[position % rows] for position in range(step * batch, (step + 1) * batch)
    ]


def pad(sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> torch.Tensor:
    """(N, T) tokens, padded on the right to the longest sequence."""
    longest = max(map(len, sequences))
    return torch.tensor([list(s) + [pad_id] * (longest - len(s)) for s in sequences], device=device)


def micro_batches(lengths: torch.Tensor, rows: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Split `rows` (indices into `lengths`) into pieces of at most `size` rows of similar length."""
    ordered = rows[torch.argsort(lengths[rows], stable=True)]
    yield from ordered.split(size)  # type: ignore[no-untyped-call]


def _shuffled(rows: int, epoch: int, seed: int) -> list[int]:
    if (rows, epoch, seed) not in _ORDERS:
        _ORDERS.clear()
        order = list(range(rows))
        Random(f"{seed}:{epoch}").shuffle(order)
        _ORDERS[rows, epoch, seed] = order
    return _ORDERS[rows, epoch, seed]


_ORDERS: dict[tuple[int, int, int], list[int]] = {}
