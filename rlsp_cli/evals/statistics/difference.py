"""Two models on the same problems: the difference of their accuracies, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rlsp_cli.evals.statistics.clusters import Clusters, cluster_means, count_clusters
from rlsp_cli.evals.statistics.paired import paired
from rlsp_cli.evals.statistics.power import detectable_by

Verdict = Literal["better", "worse", "cannot be told apart"]


@dataclass(frozen=True)
class Difference:
    """Mean over shared problems of accuracy after minus before, with its 95% interval.

    `clusters` counts the rows that these problems were made of, None if each is a row of its own.
    `differ` counts the rows on which the sides differ. `detectable` is the smallest true
    difference that 80% of such comparisons would show, None if the data cannot tell.
    """

    difference: float
    low: float
    high: float
    problems: int
    differ: int
    p_value: float
    detectable: float | None
    verdict: Verdict
    clusters: int | None = None


def difference(
    before: Mapping[str, float], after: Mapping[str, float], clusters: Clusters
) -> Difference | None:
    """After minus before on the problems that both have, by id; None if they share none."""
    # Problems of one side alone would bring their difficulty into the difference.
    moved = {id: after[id] - before[id] for id in before if id in after}
    if not moved:
        return None

    differences = cluster_means(moved, clusters)
    found = paired(differences)

    return Difference(
        difference=found.value,
        low=found.low,
        high=found.high,
        problems=len(moved),
        differ=found.differ,
        p_value=found.p,
        detectable=detectable_by(differences),
        verdict=verdict(found.low, found.high),
        clusters=count_clusters(moved, clusters),
    )


def verdict(low: float, high: float) -> Verdict:
    """What a difference's interval says; it contains 0 exactly if p is above 0.05."""
    if low <= 0 <= high:
        return "cannot be told apart"
    return "better" if low > 0 else "worse"
