"""Two models on the same problems: the difference of their accuracies, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rlsp_cli.evals.statistics.paired import paired
from rlsp_cli.evals.statistics.power import detectable_by

Verdict = Literal["better", "worse", "cannot be told apart"]


@dataclass(frozen=True)
class Difference:
    """Mean over shared problems of accuracy after minus before, with its 95% interval.

    `differ` counts the problems on which the sides differ. `detectable` is the smallest true
    difference that 80% of such comparisons would show, None if the data cannot tell.
    """

    difference: float
    low: float
    high: float
    problems: int
    differ: int
    p_value: float
    detectable: float | None
    verdict: Verdict


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> Difference | None:
    """After minus before on the problems that both have, by id; None if they share none."""
    # Problems of one side alone would bring their difficulty into the difference.
    shared = [id for id in before if id in after]
    if not shared:
        return None

    differences = [after[id] - before[id] for id in shared]
    found = paired(differences)

    return Difference(
        difference=found.value,
        low=found.low,
        high=found.high,
        problems=len(shared),
        differ=found.differ,
        p_value=found.p,
        detectable=detectable_by(differences),
        verdict=verdict(found.low, found.high),
    )


def verdict(low: float, high: float) -> Verdict:
    """What a difference's interval says; it contains 0 exactly if p is above 0.05."""
    if low <= 0 <= high:
        return "cannot be told apart"
    return "better" if low > 0 else "worse"
