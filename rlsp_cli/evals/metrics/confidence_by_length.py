"""Stated confidence and accuracy of short and of long responses."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.evals.metrics.stated import Stated, mean_of, problem_means
from rlsp_cli.evals.metrics.tokens import token_budgets
from rlsp_cli.evals.statistics import Estimate, bounded_mean


@dataclass(frozen=True)
class LengthBucket:
    """Responses of at most so many tokens that do not fit in the bucket before.

    `over` is confidence minus accuracy, with its 95% interval: above 0 if responses claim too much.
    """

    most_tokens: int
    responses: int
    confidence: float
    accuracy: float
    over: Estimate


def confidence_by_length(stated: Sequence[Stated]) -> tuple[LengthBucket, ...]:
    """Buckets up to powers of two, from the shortest responses; empty if a length is unknown.

    In each bucket every problem weighs the same.
    """
    tokens = [one.tokens for one in stated if one.tokens is not None]
    if not tokens or len(tokens) < len(stated):
        return ()

    buckets: dict[int, list[Stated]] = defaultdict(list)
    budgets = token_budgets(tokens)
    for one, length in zip(stated, tokens, strict=True):
        buckets[next(budget for budget in budgets if length <= budget)].append(one)
    return tuple(_bucket(budget, buckets[budget]) for budget in sorted(buckets))


def _bucket(most_tokens: int, stated: Sequence[Stated]) -> LengthBucket:
    over = problem_means(stated, lambda one: one.confidence - one.right)
    return LengthBucket(
        most_tokens=most_tokens,
        responses=len(stated),
        confidence=mean_of(stated, lambda one: one.confidence),
        accuracy=mean_of(stated, lambda one: one.right),
        over=bounded_mean(over, -1.0, 1.0),
    )
