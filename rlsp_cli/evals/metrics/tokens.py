"""What right answers cost: tokens per correct response, and accuracy under a token budget."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from rlsp_cli.evals.answer import Scored, clusters_of
from rlsp_cli.evals.statistics import cluster_means

_MOST_BUDGETS = 6
"""Budgets that are shown: the last one and five below, down to 1/32 of it."""


def tokens_per_correct(rows: Sequence[Scored]) -> float | None:
    """Tokens of all responses over the number of correct ones.

    None if none is correct, or a count is missing.
    """
    tokens = _counted(rows)
    right = sum(row.right for row in rows)
    return sum(tokens) / right if tokens and right else None


def accuracy_under(rows: Sequence[Scored]) -> dict[int, float] | None:
    """Accuracy by token budget: a response with more tokens counts as wrong.

    Every problem weighs the same. Budgets are those of `token_budgets`; the accuracy under the last
    one is that without a budget. None if nothing was scored, or a count is missing.
    """
    tokens = _counted(rows)
    scored = [row for row in rows if row.value is not None]
    if not tokens or not scored:
        return None

    return {budget: _accuracy_under(scored, budget) for budget in token_budgets(tokens)}


def token_budgets(tokens: Sequence[int]) -> list[int]:
    """Powers of two, upwards: the longest response fits in the last one, the shortest in the first.

    They are at most six, of which the first then holds more than the shortest.
    """
    first, last = _log2_up(min(tokens)), _log2_up(max(tokens))
    powers = range(max(first, last - _MOST_BUDGETS + 1), last + 1)
    return [2**power for power in powers]


def _counted(rows: Sequence[Scored]) -> list[int]:
    """The tokens of each response; empty if any of them is not known."""
    tokens = [row.num_tokens for row in rows if row.num_tokens is not None]

    # A mean over the counted ones alone would be of other responses than the accuracy beside it.
    return tokens if len(tokens) == len(rows) else []


def _log2_up(tokens: int) -> int:
    """The exponent of the smallest power of two that is at least `tokens`."""
    return (max(1, tokens) - 1).bit_length()


def _accuracy_under(scored: Sequence[Scored], budget: int) -> float:
    values: dict[str, list[float]] = defaultdict(list)
    for row in scored:
        fits = row.num_tokens is not None and row.num_tokens <= budget
        values[row.id].append((row.value or 0.0) if fits else 0.0)

    means = {id: statistics.fmean(several) for id, several in values.items()}
    return statistics.fmean(cluster_means(means, clusters_of(scored)))
