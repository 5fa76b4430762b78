"""Responses that state a confidence, and means over them in which each problem weighs the same."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rlsp_cli.evals.answer import CONFIDENCE, Scored


class Stated(NamedTuple):
    """A response that states a confidence from 0 to 1: its problem, and whether it is right.

    `tokens` is its length, None if unknown.
    """

    problem: str
    confidence: float
    right: bool
    tokens: int | None = None


def stated_of(scored: Iterable[Scored]) -> list[Stated]:
    """The scored responses that state a confidence. Problems made of one row count as one."""
    stated = []
    for row in scored:
        confidence = row.score(CONFIDENCE)
        if confidence is not None:
            stated.append(Stated(row.parent or row.id, confidence, row.right, row.num_tokens))
    return stated


def weights_of(stated: Sequence[Stated]) -> dict[str, float]:
    """Weight of one response to each problem: problems weigh the same, and responses share that."""
    several = Counter(one.problem for one in stated)
    return {problem: 1 / (len(several) * count) for problem, count in several.items()}


def problem_means(stated: Sequence[Stated], number: Callable[[Stated], float]) -> list[float]:
    """For each problem the mean over its responses."""
    values: dict[str, list[float]] = defaultdict(list)
    for one in stated:
        values[one.problem].append(number(one))
    return [statistics.fmean(several) for several in values.values()]


def mean_of(stated: Sequence[Stated], number: Callable[[Stated], float]) -> float:
    """The mean over problems."""
    return statistics.fmean(problem_means(stated, number))
