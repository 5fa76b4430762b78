"""Labels by Monte Carlo: how often a model reaches the right answer from a step on."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.traces.labels.completions import Completions, value_of
from rlsp_cli.traces.labels.labelled import NOT_JUDGED, Labelled
from rlsp_cli.traces.labels.solution import Solution


@dataclass(frozen=True)
class MonteCarlo:
    """Whether any of K completions after a step is right or, with `soft`, the share of right ones.

    Math-Shepherd's hard and soft labels (arXiv 2312.08935). The last step's is the response's
    verdict.
    """

    completions: Completions
    soft: bool = False

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of every step of every response."""
        return [self._labelled(solution) for solution in solutions]

    def values(self, solution: Solution) -> list[float | None]:
        """The estimated value after each step; None where no verdict was to be had."""
        counts = range(1, len(solution.steps))
        sample = solution.sample
        found = [self.completions.of(sample, solution.until(count)) for count in counts]

        last = None if sample.correct is None else float(solution.is_right)
        return [*map(value_of, found), last]

    def _labelled(self, solution: Solution) -> Labelled:
        known = [value for value in self.values(solution) if value is not None]
        if len(known) < len(solution.steps):
            return Labelled(solution, fault=NOT_JUDGED, failed=True)
        return Labelled(solution, tuple(known if self.soft else map(bool, known)))
