"""A step scorer for the task pair_sum: whether the sums that a step states are right, and what it says of them."""

import re
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer

_TRY = re.compile(r"(\d+) \+ (\d+) = (\d+), (\d+) wanted: (too low|too high|correct)")
_PROBLEM = re.compile(r"Which two of ([\d, ]+) add up to (\d+)\?")


@step_scorer
def sums(sample: Sample, steps: Sequence[str], *, other: float | None = None) -> list[float | None]:
    """1 for a try of two given numbers with the right sum, target and verdict, 0 for another try.

    A step that tries nothing has the score `other`, by default none.
    """
    problem = _PROBLEM.search(sample.prompt)
    if problem is None:
        return [None] * len(steps)

    given = [int(number) for number in problem[1].split(",")]
    return [_score(step, given, int(problem[2]), other) for step in steps]


def _score(step: str, given: Sequence[int], target: int, other: float | None) -> float | None:
    tried = _TRY.search(step)
    if tried is None:
        return other

    a, b, total, wanted = map(int, tried.groups()[:4])
    verdict = "correct" if total == target else "too low" if total < target else "too high"
    is_right = a in given and b in given and (total, wanted, tried[5]) == (a + b, target, verdict)
    return float(is_right)
