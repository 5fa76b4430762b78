"""Test-time strategies: one answer out of several responses to a problem, without knowing which is right."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlsp_cli.evals.metrics.vote import RIGHT
from rlsp_cli.evals.strategies.weibull import fit_mixture

_PARAMETERS = 5
"""Of the mixture of two Weibull distributions; fewer different probabilities than these cannot tell them."""


class Candidate(NamedTuple):
    """A response as strategies see it, but for `right`, which is what their choice is measured by.

    `answer` is what it votes for (see `metrics.vote`), None without an answer; `score` is the chosen scorer's,
    `likelihood` the geometric mean of its tokens' probabilities; None where nobody gave one.
    """

    text: str
    answer: str | None
    right: bool
    tokens: int | None = None
    score: float | None = None
    likelihood: float | None = None


Strategy = Callable[[Sequence[Candidate]], float]
"""Chance that the answer chosen from these candidates, at least one, is right; ties are decided by lot."""


def self_consistency(candidates: Sequence[Candidate]) -> float:
    """The answer with most votes (2203.11171)."""
    return _elected(candidates, [1.0] * len(candidates))


def weighted_vote(candidates: Sequence[Candidate]) -> float:
    """The answer with the greatest sum of scores; a response without a score has no weight."""
    return _elected(candidates, [candidate.score or 0.0 for candidate in candidates])


def best_of_n(candidates: Sequence[Candidate]) -> float:
    """The response with the highest score; any of them where none has one."""
    scored = [(candidate.score, candidate.right) for candidate in candidates if candidate.score is not None]
    scored = scored or [(0.0, candidate.right) for candidate in candidates]
    highest = max(score for score, _ in scored)
    return statistics.fmean(right for score, right in scored if score == highest)


def rpc(candidates: Sequence[Candidate]) -> float:
    """Reasoning-pruning perplexity consistency (2502.00511): the vote with the weights of `rpc_weights`."""
    return _elected(candidates, rpc_weights(candidates))


def rpc_weights(candidates: Sequence[Candidate]) -> list[float]:
    """The likelihood of each response; 0 for a pruned one, and for a repetition of an earlier one.

    Perplexity consistency: an answer's confidence is the sum of the likelihoods of the different responses that give
    it. Reasoning pruning: a mixture of two Weibull distributions is fitted to all likelihoods of the problem, and a
    response goes when it is more likely of the lower component and below the mean. Likelihood per token, counting all
    responses in the fit, and that mean (their "truncated mean") are as in the code that the authors published.
    """
    values = [candidate.likelihood or 0.0 for candidate in candidates]
    positive = [value for value in values if value > 0]
    fit = fit_mixture(positive) if len(set(positive)) >= _PARAMETERS else None
    mean = statistics.fmean(values)
    seen: set[str] = set()
    weights = []
    for candidate, value in zip(candidates, values, strict=True):
        pruned = fit is not None and 0 < value < mean and fit.high_share(value) < 0.5
        weights.append(0.0 if pruned or candidate.text in seen else value)
        seen.add(candidate.text)
    return weights


STRATEGIES: dict[str, Strategy] = {
    "self_consistency": self_consistency,
    "weighted_vote": weighted_vote,
    "best_of_n": best_of_n,
    "rpc": rpc,
}


def _elected(candidates: Sequence[Candidate], weights: Sequence[float]) -> float:
    """Share of the right answer among those with the greatest sum of weights; no answers at all are wrong."""
    totals: dict[str, list[float]] = defaultdict(list)
    for candidate, weight in zip(candidates, weights, strict=True):
        if candidate.answer is not None:
            totals[candidate.answer].append(weight)
    sums = {answer: math.fsum(weights) for answer, weights in totals.items()}
    most = max(sums.values(), default=0.0)
    first = [answer for answer, total in sums.items() if math.isclose(total, most, rel_tol=1e-12)]
    return (RIGHT in first) / len(first) if first else 0.0
