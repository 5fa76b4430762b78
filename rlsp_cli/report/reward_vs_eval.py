"""Do the reward's components rise with the accuracy on benches? Over the checkpoints of a training.

The objective mismatch of "The Alignment Ceiling", whose abstract has no formula; the definition
here is rlsp's own.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rlsp_cli.report.cells import NOTHING
from rlsp_cli.report.step import Step, keys_of, steps_of
from rlsp_cli.report.table import Table
from rlsp_cli.runs import shapes
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import read_rows

_COMPONENTS = ("correctness/mean", "exploration/*/mean", "reward/mean")
_FEWEST = 3
"""Checkpoints: through two points there is always a line."""


@dataclass(frozen=True)
class RewardVsEval:
    """A component of the reward beside the accuracy `BENCH/DECODING`, over checkpoints.

    `pearson` and `spearman` are None if one of the two never changes. The other two are the changes
    from the first checkpoint to the last.
    """

    component: str
    bench: str
    checkpoints: int
    pearson: float | None
    spearman: float | None
    component_change: float
    accuracy_change: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def warning(self) -> str | None:
        """A sentence if the component rises while the accuracy falls."""
        apart = self.component_change > 0 > self.accuracy_change
        if not apart or self.pearson is None or self.pearson >= 0:
            return None
        return (
            f"{self.component} rose by {self.component_change:.3f} while {self.bench} fell by "
            f"{-100 * self.accuracy_change:.1f} points, over {self.checkpoints} checkpoints "
            f"(correlation {self.pearson:.2f})"
        )


def training_steps(checkpoints: Mapping[int, str]) -> list[Step]:
    """The PPO steps of the run that these models come from; none if its metrics are not there."""
    for folder in map(Path, checkpoints.values()):
        # RUN/ppo/checkpoints/NAME; the first model may be another stage's, or from the hub.
        stage = folder.parent.parent
        if folder.parent.name == "checkpoints" and stage.name == "ppo":
            return steps_of(read_rows(StagePaths(stage).metrics, shapes.MetricsRow))
    return []


def reward_vs_eval(training: Sequence[Step], evaluated: Sequence[Step]) -> list[RewardVsEval]:
    """Every component with every bench, where at least three checkpoints have both.

    A checkpoint's component is the mean over the rollouts since the checkpoint before; that of the
    model of step 0 is of the first rollout, which this model sampled.
    """
    accuracies = {step.number: step.values for step in evaluated}

    found = []
    for component in _components(training):
        means = _means(training, component, sorted(accuracies))
        for bench in keys_of(evaluated):
            both = [
                (mean, accuracies[number][bench])
                for number, mean in means.items()
                if bench in accuracies[number]
            ]
            if len(both) >= _FEWEST:
                found.append(_of_pairs(component, bench, both))
    return found


def reward_vs_eval_table(found: Sequence[RewardVsEval]) -> Table:
    """One row for each component and bench."""
    rows = []
    for one in found:
        changes = [f"{one.component_change:+.3f}", f"{100 * one.accuracy_change:+.1f}"]
        numbers = [_cell(one.pearson), _cell(one.spearman), *changes, str(one.checkpoints)]
        rows.append([one.component, one.bench, *numbers])
    columns = ["component", "bench", "Pearson", "Spearman", "change", "points", "checkpoints"]
    return Table("Reward components and bench accuracy over checkpoints", columns, rows, keys=2)


def _components(steps: Sequence[Step]) -> Iterator[str]:
    for key in keys_of(steps):
        if any(fnmatch(key, pattern) for pattern in _COMPONENTS):
            yield key


def _means(training: Sequence[Step], component: str, numbers: Sequence[int]) -> dict[int, float]:
    """The component by checkpoint, without those that no rollout belongs to."""
    found, before = {}, 0
    for number in numbers:
        last = max(number, 1)
        values = [
            step.values[component]
            for step in training
            if before < step.number <= last and component in step.values
        ]
        if values:
            found[number] = statistics.fmean(values)
        before = number
    return found


def _of_pairs(component: str, bench: str, pairs: Sequence[tuple[float, float]]) -> RewardVsEval:
    rewards, accuracies = zip(*pairs, strict=True)
    return RewardVsEval(
        component=component.removesuffix("/mean"),
        bench=bench,
        checkpoints=len(pairs),
        pearson=_correlation(rewards, accuracies),
        spearman=_correlation(_ranks(rewards), _ranks(accuracies)),
        component_change=rewards[-1] - rewards[0],
        accuracy_change=accuracies[-1] - accuracies[0],
    )


def _correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's; None if one side is constant."""
    if len(set(x)) == 1 or len(set(y)) == 1:
        return None
    return statistics.correlation(x, y)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, the mean rank for equal values."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) + 1) / 2 for value in values]


def _cell(correlation: float | None) -> str:
    return NOTHING if correlation is None else f"{correlation:+.2f}"
