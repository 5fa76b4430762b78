"""A plugin file with a step scorer, to which tests add others."""

SUMS = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def sums(sample: Sample, steps: Sequence[str], *, wrong: float = 0.25) -> list[float | None]:
    """Whether a step's sum is right; a step without a sum has no score."""
    scores = []
    for step in steps:
        left, _, right = step.partition("=")
        scores.append((1.0 if eval(left) == int(right) else wrong) if right else None)
    return scores
'''
