"""Wrong responses that are mended at their first low step, and what was wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.rewards.sample import is_right
from rlsp_cli.traces.labels.completions import Completions, value_of
from rlsp_cli.traces.labels.critic import Critic
from rlsp_cli.traces.labels.judge import Judge
from rlsp_cli.traces.labels.labelled import NOT_JUDGED, Labelled, first_error, until_error
from rlsp_cli.traces.labels.solution import Solution


@dataclass(frozen=True)
class LowStepRefinement:
    """Explains and rewrites a low step, and keeps what a right response follows from.

    ReARTeR (arXiv 2501.07861) without retrieval; of AutoMathCritique (2411.16579) the critique of
    the first wrong step. A completion of the rewritten step that the verifier finds right shows
    that the step was wrong, and that it is mended.
    """

    judge: Judge
    critic: Critic
    completions: Completions

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels up to the low step; with them the explanation, and a pair of responses."""
        right = [one for one in solutions if one.is_right]
        wrong = [one for one in solutions if not one.is_right]
        found = [Labelled(one, fault="right, and only wrong responses are mended") for one in right]
        return [*found, *(self._mended(judged) for judged in self.judge.label(wrong))]

    def _mended(self, judged: Labelled) -> Labelled:
        error = first_error(judged.labels)
        if judged.fault:
            return judged
        if error is None:
            return Labelled(judged.solution, fault="no step is below the threshold")
        return self._rewritten(judged.solution, error)

    def _rewritten(self, solution: Solution, error: int) -> Labelled:
        texts = [step.text for step in solution.steps[: error + 1]]
        explanation, step = self.critic.mend(solution.sample, texts)
        if not step:
            return Labelled(solution, fault="the critic wrote no step")

        # What ended the step ends the new one too.
        gap = solution.until(error + 1)[solution.steps[error].end :]
        start = solution.sample.response[: solution.steps[error].start] + step + gap
        found = self.completions.of(solution.sample, start)
        if value_of(found) is None:
            return Labelled(solution, fault=NOT_JUDGED, failed=True)

        right = next((one.text for one in found if is_right(one.correct)), None)
        if right is None:
            return Labelled(solution, fault="no completion of the rewritten step is right")
        more = {
            "explanation": explanation,
            "refined": step,
            "chosen": start + right,
            "rejected": solution.sample.response,
        }
        return until_error(solution, error)._replace(more=more)
