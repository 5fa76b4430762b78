"""Intervals, paired tests and power, for means over problems."""

from rlsp_cli.evals.statistics.clusters import Clusters, by_cluster, cluster_means, count_clusters
from rlsp_cli.evals.statistics.difference import Difference, difference, verdict
from rlsp_cli.evals.statistics.interval import Estimate, bounded_mean, mean_share
from rlsp_cli.evals.statistics.over_seeds import (
    MOST_SEEDS,
    SeedsDifference,
    difference_over_seeds,
)
from rlsp_cli.evals.statistics.paired import FEWEST, paired
from rlsp_cli.evals.statistics.power import (
    Detectable,
    detectable,
    detectable_between,
    detectable_by,
)

__all__ = [
    "FEWEST",
    "MOST_SEEDS",
    "Clusters",
    "Detectable",
    "Difference",
    "Estimate",
    "SeedsDifference",
    "bounded_mean",
    "by_cluster",
    "cluster_means",
    "count_clusters",
    "detectable",
    "detectable_between",
    "detectable_by",
    "difference",
    "difference_over_seeds",
    "mean_share",
    "paired",
    "verdict",
]
