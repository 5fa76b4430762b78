"""Metrics of one bench from its scored responses."""

from rlsp_cli.evals.metrics.summary import per_problem, problem_scores, summarise

__all__ = ["per_problem", "problem_scores", "summarise"]
