"""What right answers cost: tokens per correct response, and accuracy where longer responses count as wrong."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rlsp_cli.rewards.sample import is_right

_BUDGETS = 6
"""At most so many."""


def token_metrics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tokens of all responses over the number of correct ones, and accuracy under budgets; None where nobody counted.

    The budgets are powers of two: the longest response fits in the last one, where accuracy is that without a budget,
    and the shortest in the first, unless that is too far below.
    """
    tokens = [row["num_tokens"] for row in rows]
    if None in tokens:
        return {"tokens_per_correct": None, "accuracy_under": None}
    right = sum(is_right(row["correctness"]["value"]) for row in rows)
    first, last = ((max(1, length) - 1).bit_length() for length in (min(tokens), max(tokens)))
    budgets = [2**i for i in range(max(first, last - _BUDGETS + 1), last + 1)]
    under = {str(budget): accuracy for budget in budgets if (accuracy := _accuracy_under(rows, budget)) is not None}
    return {"tokens_per_correct": sum(tokens) / right if right else None, "accuracy_under": under or None}


def _accuracy_under(rows: Sequence[dict[str, Any]], budget: int) -> float | None:
    """Mean over problems of the share of responses that are correct within `budget` tokens."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["correctness"]["value"] is not None:
            values[row["id"]].append(row["correctness"]["value"] if row["num_tokens"] <= budget else 0.0)
    return statistics.fmean(map(statistics.fmean, values.values())) if values else None
