"""Score the steps of a response by a step scorer's function."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rlsp_cli.recipe.steps import StepSettings
from rlsp_cli.rewards.sample import StepScore
from rlsp_cli.rewards.steps.aggregate import aggregate
from rlsp_cli.rewards.steps.refine import ScoreSteps, is_of_text, refined
from rlsp_cli.rewards.steps.split import find_steps, split_steps

_SHOWN = 40
"""Characters of a wrong result that its error shows."""


class ScoredSteps(NamedTuple):
    """The steps of a response with their scores, and the aggregate, None if no step has a score."""

    steps: list[StepScore]
    value: float | None


def score_steps(
    score: ScoreSteps, response: str, settings: StepSettings, texts: Sequence[str] | None = None
) -> ScoredSteps:
    """Split a response as `settings` say, or at the end of each of `texts`, and score its steps.

    ValueError when `score` returns another number of scores than steps, or what is no score.
    """
    steps = (
        split_steps(response, settings.by, settings.tag)
        if texts is None
        else find_steps(texts, response)
    )
    if not steps:
        return ScoredSteps([], None)

    # What changes the text asks the scorer, and the others only change its answer.
    asked = [one for one in settings.refine if is_of_text(one)]
    shaped = [one for one in settings.refine if not is_of_text(one)]
    words = [step.text for step in steps]
    scores = refined(_checked(score), asked)(words)
    values = refined(lambda _: scores, shaped)(words)

    scored = [
        StepScore(step.start, step.end, one, value)
        for step, one, value in zip(steps, scores, values, strict=True)
    ]
    return ScoredSteps(scored, aggregate(values, settings.aggregate))


def _checked(score: ScoreSteps) -> ScoreSteps:
    """`score`, with a ValueError for a result that is not one score for each step."""

    def checked(steps: Sequence[str]) -> list[float | None]:
        scores = score(steps)
        # A list that is too short would give the scores of one step to another.
        if not isinstance(scores, list) or len(scores) != len(steps):
            found = f"{len(scores)} scores" if isinstance(scores, list) else type(scores).__name__
            raise ValueError(f"returned {found} for {len(steps)} steps, expected one for each")

        for one in scores:
            if one is not None and not _is_score(one):
                shown = repr(one)[:_SHOWN]
                raise ValueError(f"returned {shown} for a step, expected 0 to 1, or None")
        return [None if one is None else float(one) for one in scores]

    return checked


def _is_score(value: object) -> bool:
    if not isinstance(value, bool | int | float):
        return False
    return math.isfinite(value) and 0 <= value <= 1
