"""Does a step's score change with the steps after it? In a search, those are not there yet."""

from collections.abc import Sequence

from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, Score, StepScore
from rlsp_cli.rewards.steps import change, cut

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
    shorter, texts = cut(sample, half, then)
    return Call(use, (shorter,), texts)


def _change(before: Sequence[StepScore], again: Score) -> str | None:
    if again.steps is None:
        return f"without the later steps: {again.outcome}: {again.reason}"
    return change(before, again.steps)
