"""Labels by a step scorer: a judge, a process reward model, or whether code runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlsp_cli.rewards.sample import Score
from rlsp_cli.traces.labels.labelled import Label, Labelled
from rlsp_cli.traces.labels.solution import Solution


@dataclass(frozen=True)
class Judge:
    """A step is right if its score reaches `threshold`; with `soft` the label is the score.

    A step from which the scorer abstains has no label.
    """

    score: Callable[[Solution], Score]
    threshold: float
    soft: bool = False

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of the steps of every response."""
        return [self._labelled(solution) for solution in solutions]

    def _labelled(self, solution: Solution) -> Labelled:
        score = self.score(solution)
        if score.failed:
            fault = f"the scorer ended in {score.outcome}"
            return Labelled(solution, fault=f"{fault}: {score.reason}", failed=True)
        scores = [step.score for step in score.steps or ()]
        if not any(one is not None for one in scores):
            return Labelled(solution, fault="no step has a score")
        return Labelled(solution, tuple(map(self._label, scores)))

    def _label(self, score: float | None) -> Label:
        if score is None or self.soft:
            return score
        return score >= self.threshold
