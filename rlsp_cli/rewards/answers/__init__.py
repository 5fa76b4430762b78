"""Answers (docs/answers.md): where they stand, how they are written, and which are equal."""

from rlsp_cli.rewards.answers.equality import number, same_answer
from rlsp_cli.rewards.answers.extraction import (
    answer_rule,
    boxed_answer,
    candidate_answers,
    found_answer,
    last_boxed,
    stated_answer,
    stated_answers,
    stated_confidence,
)
from rlsp_cli.rewards.answers.notation import normalised

__all__ = [
    "answer_rule",
    "boxed_answer",
    "candidate_answers",
    "found_answer",
    "last_boxed",
    "normalised",
    "number",
    "same_answer",
    "stated_answer",
    "stated_answers",
    "stated_confidence",
]
