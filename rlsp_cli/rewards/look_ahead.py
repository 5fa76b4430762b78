"""Does a step's score change with the steps after it? In a search, those are not there yet."""

from collections.abc import Sequence
from dataclasses import replace

from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, Score, StepScore

_TOLERANCE = 0.01
"""Scores that differ by less are equal: a server's vary a little with what it works on at once."""
OTHER_STEPS = ("Now something else entirely.", "So the answer is 0.")
"""What may follow instead of the steps that were there."""


def looks_ahead(
    pool: Pool,
    use: Use,
    samples: Sequence[Sample],
    scores: Sequence[Score],
    then: Sequence[str] = (),
) -> list[str | None]:
    """Ask again about the first half of each response's steps, followed by `then`.

    `scores` are those of the whole responses. For each, what changed in words; None if nothing did,
    or if there are not two steps.
    """
    halves = [_half(score.steps or ()) for score in scores]
    asked = [row for row, half in enumerate(halves) if half]
    calls = [_call(use, samples[row], halves[row], then) for row in asked]

    found: list[str | None] = [None] * len(scores)
    for row, (again,) in zip(asked, pool.map(calls), strict=True):
        found[row] = _change(halves[row], again)
    return found


def _half(steps: Sequence[StepScore]) -> Sequence[StepScore]:
    return steps[: (len(steps) + 1) // 2] if len(steps) > 1 else ()


def _call(use: Use, sample: Sample, half: Sequence[StepScore], then: Sequence[str]) -> Call:
    texts = [sample.response[step.start : step.end] for step in half] + list(then)

    # The text ends there too, and its length in tokens is not known: it must not give steps away.
    response = "\n".join([sample.response[: half[-1].end], *then])
    return Call(use, (replace(sample, response=response, num_tokens=None),), tuple(texts))


def _change(before: Sequence[StepScore], again: Score) -> str | None:
    """The first step whose score is another one now."""
    if again.steps is None:
        return f"without the later steps: {again.outcome}: {again.reason}"

    for number, (one, other) in enumerate(zip(before, again.steps, strict=False)):
        if not _equal(one.score, other.score):
            change = f"{_shown(one.score)} and then {_shown(other.score)}"
            return f"the score of step {number} was {change} when later steps were changed"
    return None


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _TOLERANCE


def _shown(score: float | None) -> str:
    return "none" if score is None else f"{score:g}"
