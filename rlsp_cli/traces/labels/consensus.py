"""Labels on which Monte Carlo and a judge agree."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.traces.labels.judge import Judge
from rlsp_cli.traces.labels.labelled import Labelled, first_error, until_error
from rlsp_cli.traces.labels.monte_carlo import MonteCarlo
from rlsp_cli.traces.labels.solution import Solution


@dataclass(frozen=True)
class Consensus:
    """Keeps responses for which both find the same first error, or none (arXiv 2501.07301).

    The steps after the error have no labels. The rule, equal positions, is our reading of the
    paper's.
    """

    monte_carlo: MonteCarlo
    judge: Judge

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels up to the first error."""
        # The judge first: what it cannot score needs no completions.
        return [self._agreed(judged) for judged in self.judge.label(solutions)]

    def _agreed(self, judged: Labelled) -> Labelled:
        if judged.fault:
            return judged
        (sampled,) = self.monte_carlo.label([judged.solution])
        if sampled.fault:
            return sampled

        error = first_error(sampled.labels)
        if error != first_error(judged.labels):
            return Labelled(judged.solution, fault="Monte Carlo and the judge disagree")
        return until_error(judged.solution, error)
