"""Two recipes trained from the same seeds: the difference of their accuracies on the same problems.

Seeds and problems were both drawn, and other ones would have given another difference. It is a mean
over a table of seeds x problems, so its variance has a part of each, as in a two-way analysis of
variance with random effects.
"""

import math
import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.evals.statistics.clusters import Clusters, cluster_means
from rlsp_cli.evals.statistics.difference import Verdict, verdict
from rlsp_cli.evals.statistics.paired import LEVEL, allowing_for_another
from rlsp_cli.evals.statistics.power import POWER
from rlsp_cli.evals.statistics.student import t_quantile

_Z = statistics.NormalDist().inv_cdf
_NO_VARIANCE = 1e-30
"""Variance that only rounding leaves, where all values are equal."""
MOST_SEEDS = 1000
"""The most seeds that are looked at; beyond, it is the problems that are too few."""

Pair = tuple[Mapping[str, float], Mapping[str, float]]
"""Accuracies by problem of one seed, before and after."""


@dataclass(frozen=True)
class SeedsDifference:
    """Mean over seeds and shared problems of accuracy after minus before, with its 95% interval.

    Interval and verdict are None for one seed or one problem. `seeds_needed` would tell a true
    difference of this size apart in 80% of cases; None if `MOST_SEEDS` would not.
    """

    difference: float
    low: float | None
    high: float | None
    verdict: Verdict | None
    seeds: int
    problems: int
    seeds_needed: int | None


def difference_over_seeds(pairs: Sequence[Pair], clusters: Clusters) -> SeedsDifference | None:
    """After minus before, from a pair for each seed; None if no problem is in all of them.

    The half-width of the interval is the root of (t s_seeds)^2 / S + (z s_problems)^2 / P, where
    s_seeds is the standard deviation of the S seeds' means, s_problems that of the P problems'
    means, and t has S - 1 degrees of freedom. Both count in full, although each contains some of
    the noise of single responses, so the interval is rather too wide. Problems that were made of
    one row count as one.
    """
    shared = [id for id in pairs[0][0] if all(id in side for pair in pairs for side in pair)]
    if not shared:
        return None

    table = []
    for before, after in pairs:
        table.append(cluster_means({id: after[id] - before[id] for id in shared}, clusters))

    found = statistics.fmean(map(statistics.fmean, table))
    spread = _spread(table)
    half = _half_width(table, spread) if spread else None
    return SeedsDifference(
        difference=found,
        low=None if half is None else found - half,
        high=None if half is None else found + half,
        verdict=None if half is None else verdict(found - half, found + half),
        seeds=len(pairs),
        problems=len(shared),
        seeds_needed=seeds_needed(found, spread) if spread else None,
    )


def _half_width(table: Sequence[Sequence[float]], spread: "Spread") -> float:
    """Of the interval; where all problems differ alike, it allows for one more that does not."""
    half = spread.half_width(spread.seeds)
    if spread.of_problems > _NO_VARIANCE:
        return half
    wide = allowing_for_another([statistics.fmean(column) for column in zip(*table, strict=True)])
    return max(half, wide.high - wide.value, wide.value - wide.low)


class Spread(NamedTuple):
    """Variances in a table of `seeds` x `problems`: of its rows' means, of its columns', and the rest.

    `noise` is the variance of a cell about what its row and column say.
    """

    seeds: int
    problems: int
    of_seeds: float
    of_problems: float
    noise: float

    def variances(self, seeds: int) -> tuple[float, float]:
        """Of the mean over so many seeds: the part of the seeds, and that of the problems."""
        # A problem's mean over more seeds has less noise in it.
        of_problems = max(0.0, self.of_problems + self.noise * (1 / seeds - 1 / self.seeds))
        return self.of_seeds / seeds, of_problems / self.problems

    def half_width(self, seeds: int) -> float:
        """Of the 95% interval from so many seeds."""
        over_seeds, over_problems = map(math.sqrt, self.variances(seeds))
        t, z = t_quantile(1 - LEVEL / 2, seeds - 1), _Z(1 - LEVEL / 2)
        return math.hypot(t * over_seeds, z * over_problems)


def seeds_needed(difference: float, spread: Spread) -> int | None:
    """The fewest seeds whose interval leaves out 0 in 80% of cases, were this the true difference.

    That is where |difference| reaches half_width(n) + z_{80%} x standard error(n), the power
    analysis of Miller (2411.00640) for two sources instead of one. It assumes the same problems,
    and that further seeds and responses scatter as those that were seen do. None if more than
    `MOST_SEEDS` would be needed.
    """

    def is_enough(seeds: int) -> bool:
        error = math.sqrt(sum(spread.variances(seeds)))
        return spread.half_width(seeds) + _Z(POWER) * error <= abs(difference)

    if not difference or not is_enough(MOST_SEEDS):
        return None
    return 2 + bisect_left(range(2, MOST_SEEDS), True, key=is_enough)


def _spread(table: Sequence[Sequence[float]]) -> Spread | None:
    """None for a single row or column."""
    seeds, problems = len(table), len(table[0])
    if seeds < 2 or problems < 2:
        return None

    rows = [statistics.fmean(row) for row in table]
    columns = [statistics.fmean(column) for column in zip(*table, strict=True)]
    whole = statistics.fmean(rows)

    squares = 0.0
    for row, of_row in zip(table, rows, strict=True):
        squares += sum((x - of_row - y + whole) ** 2 for x, y in zip(row, columns, strict=True))

    noise = squares / ((seeds - 1) * (problems - 1))
    return Spread(seeds, problems, statistics.variance(rows), statistics.variance(columns), noise)
