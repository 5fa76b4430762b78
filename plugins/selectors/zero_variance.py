"""Drop prompts that teach nothing because all their responses have the same score."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, Signal, selector, signal_of

_SAME = 1e-9
"""Scores that differ by less are equal."""


@selector
def zero_variance(group: Sequence[Sample], *, by: Signal = "correctness") -> list[bool]:
    """Drop prompts whose responses all have the same score, such as all right or all wrong.

    As MASA and DAPO (2503.14476) do for verdicts of right and wrong. Unscored responses do not
    count, and are dropped.
    """
    scores = signal_of(group, by)
    known = [score for score in scores if score is not None]

    varies = bool(known) and max(known) - min(known) > _SAME
    return [varies and score is not None for score in scores]
