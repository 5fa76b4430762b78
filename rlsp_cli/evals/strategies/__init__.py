"""Test-time strategies: one answer out of several responses to a problem."""

from rlsp_cli.evals.strategies.scorers import check_scorer

__all__ = ["check_scorer"]
