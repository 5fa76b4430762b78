"""Labels by a step scorer: a judge, a process reward model, or whether code runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlsp_cli.rewards.sample import Score
from rlsp_cli.traces.labels.labelled import Labelled
from rlsp_cli.traces.labels.solution import Solution


@dataclass(frozen=True)
class Judge:
    """A step is right if its score reaches `threshold`; with `soft` the label is the score."""

    score: Callable[[Solution], Score]
    threshold: float
    soft: bool = False

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of every step of every response."""
        return [self._labelled(solution) for solution in solutions]

    def _labelled(self, solution: Solution) -> Labelled:
        score = self.score(solution)
        scores = [step.score for step in score.steps or () if step.score is not None]
        if score.failed:
            fault = f"the scorer ended in {score.outcome}"
            return Labelled(solution, fault=f"{fault}: {score.reason}", failed=True)
        if len(scores) < len(solution.steps):
            return Labelled(solution, fault="a step without a score")

        hard = [one >= self.threshold for one in scores]
        return Labelled(solution, tuple(scores if self.soft else hard))
