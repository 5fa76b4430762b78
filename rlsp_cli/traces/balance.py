"""The balance of exploration and exploitation in sampled solutions, and settings that raise it.

The balance score is that of B-STaR (arXiv 2412.17256). Only its formula was at hand, which is
written out in `balance_score`; the tuner is our own reading of the method.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, NamedTuple

from rlsp_cli.recipe.rounds import Rounds, Tune


class Solution(NamedTuple):
    """A sampled solution, whether it is right, and its mixed reward if it has one."""

    text: str
    is_right: bool
    reward: float | None


@dataclass(frozen=True)
class Settings:
    """How solutions are sampled, and from which mixed reward on they are selected."""

    temperature: float
    samples: int
    threshold: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Tried(NamedTuple):
    """Settings and their balance score on some problems."""

    settings: Settings
    score: float


def balance_score(problems: Iterable[Sequence[Solution]], target: int) -> float:
    """Mean over problems of min(right / target, 1) * right / selected, from 0 to 1.

    `problems` has the selected solutions of each; of equal texts one counts. A problem of which
    none is selected has 0. B-STaR (2412.17256) has a target of 8.
    """
    scores = []
    for solutions in problems:
        different = {solution.text: solution.is_right for solution in solutions}
        right = sum(different.values())
        share = right / len(different) if different else 0.0
        scores.append(min(right / target, 1) * share)
    return statistics.fmean(scores) if scores else 0.0


def selected(solutions: Sequence[Solution], settings: Settings) -> list[Solution]:
    """Of the first `samples` solutions, those with a reward of at least the threshold."""
    first = solutions[: settings.samples]
    if settings.threshold is None:
        return list(first)

    least = settings.threshold
    return [one for one in first if one.reward is not None and one.reward >= least]


def all_settings(rounds: Rounds, tune: Tune) -> list[Settings]:
    """Every combination to try, in the order of the recipe."""
    samples, thresholds = tune.samples or (rounds.samples,), tune.threshold or (rounds.threshold,)
    return [Settings(*found) for found in product(tune.temperature, samples, thresholds)]


def try_settings(
    drawn: Mapping[float, Sequence[Sequence[Solution]]], settings: Iterable[Settings], target: int
) -> list[Tried]:
    """The balance score of each of `settings`; `drawn` has, by temperature, problems' solutions."""
    tried = []
    for one in settings:
        problems = [selected(solutions, one) for solutions in drawn[one.temperature]]
        tried.append(Tried(one, balance_score(problems, target)))
    return tried


def best(tried: Sequence[Tried]) -> Settings:
    """Those with the highest score; of equal ones the first."""
    return max(tried, key=lambda one: one.score).settings
