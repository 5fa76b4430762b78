"""Tokens that a pass computes, with the padding of its micro-batches.

A micro-batch is as wide as its longest sequence, and sequences of similar length share one
(`engine/batch.py`).
"""

from collections.abc import Sequence
from random import Random


def padded_tokens(lengths: Sequence[float], batch: int, micro_batch: int) -> float:
    """Tokens of all sequences, which are shuffled and cut into batches, these into micro-batches."""
    shuffled = Random(0).sample(lengths, len(lengths))

    tokens = 0.0
    for start in range(0, len(shuffled), batch):
        ordered = sorted(shuffled[start : start + batch])
        for first in range(0, len(ordered), micro_batch):
            part = ordered[first : first + micro_batch]
            tokens += len(part) * part[-1]
    return tokens


def response_lengths(count: int, mean: float, longest: int) -> list[float]:
    """Lengths of so many responses, spread evenly as far around their mean as the longest allows."""
    spread = min(mean, longest - mean)
    return [mean + spread * ((2 * place + 1) / count - 1) for place in range(count)]
