"""A vote in which each response counts as much as its score."""

from collections.abc import Sequence

from rlsp_cli.evals.strategies.strategy import (
    Candidate,
    Responses,
    Strategy,
    chance_of_vote,
    no_answers,
    no_scores,
)


class WeightedVote(Strategy):
    """The answer with the greatest sum of scores."""

    name = "weighted_vote"
    reads_logprobs = True
    reads_scores = True

    def unusable(self, responses: Responses) -> str | None:
        """Without answers, without scores, or with scores that are no weights."""
        reason = no_answers(responses) or no_scores(responses)
        if reason:
            return reason

        # A negative weight would make a vote for an answer count against it.
        if any((candidate.score or 0.0) < 0 for candidate in responses.all):
            return f"{responses.scorer} gives scores below 0, and votes need weights of at least 0"
        return None

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """A response without a score has no weight."""
        return chance_of_vote(candidates, [candidate.score or 0.0 for candidate in candidates])
