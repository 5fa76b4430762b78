"""Test-time strategies: one answer out of several responses to a problem, and what it costs."""

from rlsp_cli.evals.strategies.scorers import check_scorer
from rlsp_cli.evals.strategies.strategy import Candidate, Responses, Strategy
from rlsp_cli.evals.strategies.table import (
    BUDGET_FORCING,
    STRATEGIES,
    StrategyRow,
    StrategyTable,
    strategy_table,
)

__all__ = [
    "BUDGET_FORCING",
    "STRATEGIES",
    "Candidate",
    "Responses",
    "Strategy",
    "StrategyRow",
    "StrategyTable",
    "check_scorer",
    "strategy_table",
]
