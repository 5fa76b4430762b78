"""What a plugin author imports. A plugin is a typed function under one of the decorators."""

from rlsp_cli.rewards.answers import (
    boxed_answer,
    found_answer,
    last_boxed,
    normalised,
    number,
    same_answer,
    stated_answer,
    stated_answers,
    stated_confidence,
)
from rlsp_cli.rewards.database import read_only_database
from rlsp_cli.rewards.fences import last_fenced
from rlsp_cli.rewards.lexicon import behaviour_counts
from rlsp_cli.rewards.marker import marker_of
from rlsp_cli.rewards.model_name import ModelName
from rlsp_cli.rewards.models import Completion, ServedModel, UnansweredError, served_model
from rlsp_cli.rewards.plugin import (
    continuation,
    exploration_reward,
    row_shape,
    search,
    selector,
    step_scorer,
    task,
    verifier,
)
from rlsp_cli.rewards.repetition import repetition
from rlsp_cli.rewards.sample import CheckedVerdict, Sample, Verdict, is_right
from rlsp_cli.rewards.signal import Signal, signal_of
from rlsp_cli.rewards.similarity import jaccard, ngrams
from rlsp_cli.rewards.steps import Step, split_steps
from rlsp_cli.rewards.thinking import without_tags, without_thinking
from rlsp_cli.rewards.tree import Node, Tree, ranked
from rlsp_cli.rewards.turns import MODEL, Closing, Turn, Turns

__all__ = [
    "MODEL",
    "CheckedVerdict",
    "Closing",
    "Completion",
    "ModelName",
    "Node",
    "Sample",
    "ServedModel",
    "Signal",
    "Step",
    "Tree",
    "Turn",
    "Turns",
    "UnansweredError",
    "Verdict",
    "behaviour_counts",
    "boxed_answer",
    "continuation",
    "exploration_reward",
    "found_answer",
    "is_right",
    "jaccard",
    "last_boxed",
    "last_fenced",
    "marker_of",
    "ngrams",
    "normalised",
    "number",
    "ranked",
    "read_only_database",
    "repetition",
    "row_shape",
    "same_answer",
    "search",
    "selector",
    "served_model",
    "signal_of",
    "split_steps",
    "stated_answer",
    "stated_answers",
    "stated_confidence",
    "step_scorer",
    "task",
    "verifier",
    "without_tags",
    "without_thinking",
]
