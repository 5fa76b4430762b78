"""The choice of the next token, from logits and a random number for each sequence."""

from collections.abc import Sequence

import torch

from rlsp_cli.engine.seed import derive_seed


def uniforms(seeds: Sequence[int], count: int, device: torch.device) -> torch.Tensor:
    """(B, count) numbers in [0, 1), a row from each seed.

    A sequence has random numbers of its own, so which others are decoded beside it does not matter.
    """
    random = torch.Generator()
    rows = [torch.rand(count, generator=random.manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device)


def row_seeds(seed: int, place: str, step: int, rows: int, first: int = 0) -> list[int]:
    """Seeds of the sequences of one rollout, or of one batch of requests, from the row `first`."""
    return [derive_seed(seed, place, step, row) for row in range(first, first + rows)]


def choose(
    logits: torch.Tensor, temperature: float, top_p: float, uniform: torch.Tensor
) -> torch.Tensor:
    """(B, V) logits and (B,) uniform numbers -> (B,) tokens; temperature 0 takes the most probable.

    The inverse of the distribution function at `uniform`: one random number a sequence instead of
    one for each word of the vocabulary, which a CPU draws one after the other.
    """
    if temperature == 0:
        return logits.argmax(-1)

    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        probabilities = _nucleus(probabilities, top_p)

    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1:]
    # Below the total also after rounding: at the total stands no word that has a probability.
    wanted = torch.minimum(uniform[:, None] * total, torch.nextafter(total, total.new_zeros(())))
    return torch.searchsorted(cumulative, wanted, right=True)[:, 0]


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the smallest set of words whose probabilities reach `top_p`; the most probable word always stays."""
    ordered, order = probabilities.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)
