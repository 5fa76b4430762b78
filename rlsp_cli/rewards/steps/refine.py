"""Refinements: each takes a function that scores steps, and returns one that scores them otherwise."""

import re
import statistics
from collections.abc import Callable, Sequence

from rlsp_cli.recipe.steps import Refinement

ScoreSteps = Callable[[Sequence[str]], list[float | None]]
"""From the texts of steps to a score of each."""

_WORDS = re.compile(r"\b[A-Za-z]{2,}\b(?![^$]*\$(?:[^$]*\$[^$]*\$)*[^$]*\Z)")
_SPACES = re.compile(r"\s+")


def refined(score: ScoreSteps, refinements: Sequence[Refinement]) -> ScoreSteps:
    """`score` with these refinements, the first of them applied first."""
    for refinement in refinements:
        score = _refined(score, refinement)
    return score


def is_of_text(refinement: Refinement) -> bool:
    """Whether it changes what the scorer reads, and not only its scores."""
    return bool(refinement.span or refinement.math_only)


def clip(score: ScoreSteps, threshold: float) -> ScoreSteps:
    """min(r_k - threshold, 0): the sum over steps has an upper bound (arXiv 2410.15115)."""

    def clipped(steps: Sequence[str]) -> list[float | None]:
        return [None if r is None else min(r - threshold, 0.0) for r in score(steps)]

    return clipped


def delta(score: ScoreSteps) -> ScoreSteps:
    """r_k - r_(k+1), and r_K for the last step: the sum is r_1, however many steps there are.

    arXiv 2410.15115; that the last step keeps its score is our reading. Steps without a score stay
    without, and are passed over: with gaps instead, a response could earn without end by steps that
    the scorer abstains from.
    """

    def differences(steps: Sequence[str]) -> list[float | None]:
        found: list[float | None] = []
        after = 0.0
        for r in reversed(score(steps)):
            found.append(None if r is None else r - after)
            after = after if r is None else r
        return found[::-1]

    return differences


def span(score: ScoreSteps, sizes: Sequence[int]) -> ScoreSteps:
    """For each step the mean over the windows of `sizes` that end at it, each scored as one step.

    A later step may so make up for an earlier one (arXiv 2503.13551, which does not say how its two
    levels are weighted; equal weights are ours). A step has no window larger than what came before.
    """

    def windows(steps: Sequence[str]) -> list[float | None]:
        return [
            _mean([_window(score, steps[:end], size) for size in sizes]) for end in _ends(steps)
        ]

    return windows


def math_only(score: ScoreSteps) -> ScoreSteps:
    """Scores of the formulas in the steps alone, without words (arXiv 2412.15904)."""

    def without_words(steps: Sequence[str]) -> list[float | None]:
        return score([formulas(step) for step in steps])

    return without_words


def formulas(step: str) -> str:
    """A step without words of two letters or more outside of dollar signs; itself if none is left."""
    kept = _SPACES.sub(" ", _WORDS.sub("", step)).strip()
    return kept if any(map(str.isalnum, kept)) else step


def _refined(score: ScoreSteps, refinement: Refinement) -> ScoreSteps:
    if refinement.clip is not None:
        return clip(score, refinement.clip)
    if refinement.span is not None:
        return span(score, refinement.span)
    return delta(score) if refinement.delta else math_only(score)


def _window(score: ScoreSteps, steps: Sequence[str], size: int) -> float | None:
    """The score of the last `size` steps as one, after those before."""
    if size > len(steps):
        return None
    return score([*steps[:-size], "\n".join(steps[-size:])])[-1]


def _ends(steps: Sequence[str]) -> range:
    return range(1, len(steps) + 1)


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return statistics.fmean(known) if known else None
