"""Self-consistency (Wang et al., 2203.11171)."""

from collections.abc import Sequence

from rlsp_cli.evals.strategies.strategy import (
    Candidate,
    Responses,
    Strategy,
    chance_of_vote,
    no_answers,
)


class SelfConsistency(Strategy):
    """The answer with most votes."""

    name = "self_consistency"
    reads_logprobs = False

    def unusable(self, responses: Responses) -> str | None:
        """Without answers."""
        return no_answers(responses)

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """Every response has one vote."""
        return chance_of_vote(candidates, [1.0] * len(candidates))
