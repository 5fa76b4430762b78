"""Best-of-n: the response that a scorer ranks first."""

import statistics
from collections.abc import Sequence

from rlsp_cli.evals.strategies.strategy import Candidate, Responses, Strategy, no_scores


class BestOfN(Strategy):
    """The response with the highest score, also if no answer can be extracted from it."""

    name = "best_of_n"
    reads_logprobs = True
    reads_scores = True

    def unusable(self, responses: Responses) -> str | None:
        """Without scores."""
        return no_scores(responses)

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """Any response if none of these has a score."""
        scored = [
            (candidate.score, candidate.right)
            for candidate in candidates
            if candidate.score is not None
        ]
        scored = scored or [(0.0, candidate.right) for candidate in candidates]

        # A tie is broken at random, so the chance is the mean over those that tie.
        highest = max(score for score, _ in scored)
        return statistics.fmean(right for score, right in scored if score == highest)
