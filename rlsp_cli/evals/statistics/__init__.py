"""Intervals, tests and power for means over problems."""

from rlsp_cli.evals.statistics.interval import Interval, bounded_mean, mean_share
from rlsp_cli.evals.statistics.paired import FEWEST, LEVEL, Paired, paired
from rlsp_cli.evals.statistics.power import detectable, detectable_between, detectable_by

__all__ = [
    "FEWEST",
    "LEVEL",
    "Interval",
    "Paired",
    "bounded_mean",
    "detectable",
    "detectable_between",
    "detectable_by",
    "mean_share",
    "paired",
]
