"""Step scores: a response is split into steps, each is scored, and the scores become one number."""

from rlsp_cli.rewards.steps.aggregate import AGGREGATES, aggregate
from rlsp_cli.rewards.steps.cut import change, cut
from rlsp_cli.rewards.steps.dense import PaidStep, paid_steps
from rlsp_cli.rewards.steps.pieces import step_pieces
from rlsp_cli.rewards.steps.refine import ScoreSteps, refined
from rlsp_cli.rewards.steps.returns import is_bounded, largest_return, share_of_repeats
from rlsp_cli.rewards.steps.score import ScoredSteps, score_steps
from rlsp_cli.rewards.steps.split import SPLITTERS, Step, find_steps, split_steps

__all__ = [
    "AGGREGATES",
    "SPLITTERS",
    "PaidStep",
    "ScoreSteps",
    "ScoredSteps",
    "Step",
    "aggregate",
    "change",
    "cut",
    "find_steps",
    "is_bounded",
    "largest_return",
    "paid_steps",
    "refined",
    "score_steps",
    "share_of_repeats",
    "split_steps",
    "step_pieces",
]
