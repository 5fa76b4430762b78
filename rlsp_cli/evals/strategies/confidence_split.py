"""Divide and conquer by confidence: accept what few responses agree on, and ask the rest again.

The split is that of "Divide and Conquer for Large Language Models Reasoning"; its text was not at
hand, so the confidence, the share of the votes for the most frequent answer, is from memory. Its
second round has other prompts; here it has more responses to the same one.
"""

from collections import Counter
from collections.abc import Sequence

from rlsp_cli.evals.strategies.strategy import (
    Candidate,
    Responses,
    Strategy,
    chance_of_vote,
    no_answers,
)
from rlsp_cli.recipe.strategy import Split


class ConfidenceSplit(Strategy):
    """The answer with most votes, of a few responses where enough of them agree, else of all."""

    name = "confidence_split"
    reads_logprobs = False

    def __init__(self, split: Split | None = None) -> None:
        self.split = split or Split()

    def unusable(self, responses: Responses) -> str | None:
        """Without answers, or without responses for a second round."""
        most = max(map(len, responses.problems.values()))
        if most <= self.split.votes:
            return (
                f"no problem has more than eval.split.votes ({self.split.votes}) responses, "
                "so none can be asked again; draw more by eval.samples"
            )
        return no_answers(responses)

    def asked(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """The first round alone where its confidence is above `accept_above`, else all."""
        first = candidates[: self.split.votes]
        return first if confidence(first) > self.split.accept_above else candidates

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """The vote of all responses that were asked for, those of the first round included."""
        asked = self.asked(candidates)
        return chance_of_vote(asked, [1.0] * len(asked))


def confidence(candidates: Sequence[Candidate]) -> float:
    """Share of these responses, at least one, that give the most frequent answer."""
    answers = Counter(candidate.answer for candidate in candidates if candidate.answer is not None)
    return max(answers.values(), default=0) / len(candidates)
