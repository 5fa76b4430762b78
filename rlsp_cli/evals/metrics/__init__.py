"""Metrics of one bench from its scored responses."""

from rlsp_cli.evals.metrics.curves import Curve
from rlsp_cli.evals.metrics.summary import (
    GreedyOverSampled,
    Metrics,
    curve_json,
    greedy_over_sampled,
    of_kind,
    per_problem,
    problem_scores,
    summarise,
)
from rlsp_cli.evals.metrics.vote import SameAnswer

__all__ = [
    "Curve",
    "GreedyOverSampled",
    "Metrics",
    "SameAnswer",
    "curve_json",
    "greedy_over_sampled",
    "of_kind",
    "per_problem",
    "problem_scores",
    "summarise",
]
