"""A response cut after some of its steps, and whether these are scored as before."""

from collections.abc import Sequence
from dataclasses import replace

from rlsp_cli.rewards.sample import Sample, StepScore

_TOLERANCE = 0.01
"""Scores that differ by less are equal: a server's vary a little with what it works on at once."""


def cut(
    sample: Sample, steps: Sequence[StepScore], then: Sequence[str] = ()
) -> tuple[Sample, tuple[str, ...]]:
    """The sample up to the last of `steps`, with the texts `then` behind it; the texts of its steps."""
    texts = [sample.response[step.start : step.end] for step in steps] + list(then)

    # The text ends there too, and its length in tokens is not known: it must not give steps away.
    response = "\n".join([sample.response[: steps[-1].end], *then])
    return replace(sample, response=response, num_tokens=None), tuple(texts)


def change(before: Sequence[StepScore], again: Sequence[StepScore]) -> str | None:
    """In words, the first step of both whose score is another one now; None if there is none."""
    for number, (one, other) in enumerate(zip(before, again, strict=False)):
        if not _equal(one.score, other.score):
            changed = f"{_shown(one.score)} and then {_shown(other.score)}"
            return f"the score of step {number} was {changed} when later steps were changed"
    return None


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _TOLERANCE


def _shown(score: float | None) -> str:
    return "none" if score is None else f"{score:g}"
