"""Step scores: a response is split into steps, each is scored, and the scores become one number."""

from rlsp_cli.rewards.steps.aggregate import AGGREGATES, aggregate
from rlsp_cli.rewards.steps.refine import ScoreSteps, refined
from rlsp_cli.rewards.steps.score import ScoredSteps, score_steps
from rlsp_cli.rewards.steps.split import SPLITTERS, Step, find_steps, split_steps

__all__ = [
    "AGGREGATES",
    "SPLITTERS",
    "ScoreSteps",
    "ScoredSteps",
    "Step",
    "aggregate",
    "find_steps",
    "refined",
    "score_steps",
    "split_steps",
]
