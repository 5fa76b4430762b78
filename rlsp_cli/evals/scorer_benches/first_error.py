"""Does a scorer find the first wrong step? ProcessBench's F1 (arXiv 2412.06559)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.evals.metrics.auroc import auroc
from rlsp_cli.evals.metrics.stated import Stated
from rlsp_cli.evals.scorer_benches.responses import Labelled
from rlsp_cli.evals.statistics import Estimate, mean_share
from rlsp_cli.rewards.sample import Score

_MOST_CANDIDATES = 200
"""Thresholds that are tried, at most, where one is chosen."""


class Threshold(NamedTuple):
    """A step is wrong if its score is below `value`, which was fixed before unless `chosen_on`."""

    value: float
    chosen_on: str | None = None


class Pair(NamedTuple):
    """A labelled response, and how a scorer scored it."""

    response: Labelled
    score: Score


@dataclass(frozen=True)
class FirstError:
    """What a scorer finds in the chains of one subset.

    Step level: `on_wrong` is the share of wrong chains whose first wrong step is found exactly,
    `on_right` that of right chains in which none is found; `f1` is their harmonic mean.
    Response level: `auroc` of the aggregate against the final answer. Chains without a score are
    counted in `unscored`, and are in no share. None where chains of one kind are missing.
    """

    chains: int
    unscored: int
    on_wrong: Estimate | None
    on_right: Estimate | None
    f1: Estimate | None
    auroc: Estimate | None


def first_error(scores: Sequence[float | None], threshold: float) -> int:
    """The first step with a score below the threshold, -1 if there is none."""
    for number, score in enumerate(scores):
        if score is not None and score < threshold:
            return number
    return -1


def measured_errors(pairs: Sequence[Pair], threshold: float) -> FirstError:
    """The numbers of one subset."""
    scored = [pair for pair in pairs if pair.score.value is not None]
    found = [_is_found(pair, threshold) for pair in scored]
    wrong = [hit for pair, hit in zip(scored, found, strict=True) if _is_wrong(pair)]
    right = [hit for pair, hit in zip(scored, found, strict=True) if not _is_wrong(pair)]

    on_wrong = mean_share(wrong) if wrong else None
    on_right = mean_share(right) if right else None
    f1 = combined(harmonic, [on_wrong, on_right]) if on_wrong and on_right else None
    stated = [
        Stated(pair.response.id, pair.score.value or 0.0, pair.response.right) for pair in scored
    ]
    unscored = len(pairs) - len(scored)
    return FirstError(len(pairs), unscored, on_wrong, on_right, f1, auroc(stated))


def mean_f1(subsets: Mapping[str, FirstError]) -> Estimate | None:
    """The mean over the subsets that have one."""
    known = [subset.f1 for subset in subsets.values() if subset.f1 is not None]
    return combined(lambda *values: math.fsum(values) / len(values), known) if known else None


def chosen_threshold(pairs: Sequence[Pair]) -> float:
    """The threshold with the greatest F1 on these chains; of several, the smallest."""
    scores = {step.score for pair in pairs for step in pair.score.steps or ()}
    known = sorted(score for score in scores if score is not None)
    every = math.ceil(len(known) / _MOST_CANDIDATES) or 1

    # Just above a score, so that the step with this score counts as wrong.
    candidates = [0.0, *(math.nextafter(score, math.inf) for score in known[::every])]
    return max(candidates, key=lambda threshold: _f1(pairs, threshold))


def harmonic(one: float, other: float) -> float:
    """The harmonic mean; 0 if either is 0."""
    return 2 * one * other / (one + other) if one and other else 0.0


def combined(function: Callable[..., float], parts: Sequence[Estimate | None]) -> Estimate:
    """A function that rises in each independent part, with an interval.

    Its limits are as far away as the squares of what each part's limit moves it add up to (Zou and
    Donner 2008).
    """
    known = [part for part in parts if part is not None]
    values = [part.value for part in known]
    value = function(*values)

    def moved(number: int, limit: float) -> float:
        return function(*values[:number], limit, *values[number + 1 :]) - value

    down = math.hypot(*(moved(number, part.low) for number, part in enumerate(known)))
    up = math.hypot(*(moved(number, part.high) for number, part in enumerate(known)))
    return Estimate(value, max(0.0, value - down), min(1.0, value + up))


def _is_wrong(pair: Pair) -> bool:
    return pair.response.first_error != -1


def _is_found(pair: Pair, threshold: float) -> float:
    scores = [step.score for step in pair.score.steps or ()]
    return float(first_error(scores, threshold) == pair.response.first_error)


def _f1(pairs: Sequence[Pair], threshold: float) -> float:
    found = measured_shares(pairs, threshold)
    return harmonic(*found)


def measured_shares(pairs: Sequence[Pair], threshold: float) -> tuple[float, float]:
    """The two shares of `FirstError` without intervals; 0 for chains that are missing."""
    hits: dict[bool, list[float]] = {True: [], False: []}
    for pair in pairs:
        if pair.score.value is not None:
            hits[_is_wrong(pair)].append(_is_found(pair, threshold))
    wrong, right = (
        math.fsum(several) / len(several) if several else 0.0 for several in hits.values()
    )
    return wrong, right
