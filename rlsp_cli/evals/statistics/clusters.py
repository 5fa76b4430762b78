"""Problems made of one row depend on each other: their mean is one number for all statistics.

These are the clusters of Miller, "Adding Error Bars to Evals" (2411.00640, section 2.2). Rows are
drawn independently, so every interval and test of means over rows holds for means of clusters.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import TypeVar

Clusters = Mapping[str, str]
"""From a problem's id to its parent's; without the problems that are rows of their own."""

Value = TypeVar("Value")


def by_cluster(values: Mapping[str, Value], clusters: Clusters) -> dict[str, list[Value]]:
    """The values of each cluster's problems; a problem of its own is a cluster of one."""
    groups: dict[str, list[Value]] = defaultdict(list)
    for id, value in values.items():
        groups[clusters.get(id, id)].append(value)
    return groups


def cluster_means(values: Mapping[str, float], clusters: Clusters) -> list[float]:
    """The mean over each cluster's problems: a row weighs the same, however many it became."""
    return [statistics.fmean(group) for group in by_cluster(values, clusters).values()]


def count_clusters(ids: Mapping[str, object], clusters: Clusters) -> int | None:
    """How many clusters these problems are; None if each is a row of its own."""
    if not any(id in clusters for id in ids):
        return None
    return len(by_cluster(ids, clusters))
