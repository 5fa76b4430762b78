"""The number of a sample that selectors choose by."""

from collections.abc import Sequence
from typing import Literal

from rlsp_cli.rewards.sample import Sample

Signal = Literal["correctness", "reward"]
"""`reward` is the mixture with exploration. A filter on it can ruin a policy: it favours prompts on
which exploration pays, right or wrong."""


def signal_of(group: Sequence[Sample], by: Signal) -> list[float | None]:
    """Correctness or reward of each sample; None where it has none."""
    return [sample.correct if by == "correctness" else sample.reward for sample in group]
