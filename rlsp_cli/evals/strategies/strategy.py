"""What a test-time strategy is: it chooses one of several answers, not knowing the right one."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

from rlsp_cli.evals.metrics.vote import RIGHT


class Candidate(NamedTuple):
    """A response as strategies see it; `right` only measures their choice.

    `answer` is what it votes for (see `metrics.vote`), None without an answer. `score` is the
    chosen scorer's and `likelihood` the geometric mean of its tokens' probabilities; None if not
    known. `scorer_tokens` are those that models read and wrote for the score, and
    `other_tokens` those that they did for the response, such as a critic.
    """

    text: str
    answer: str | None
    right: bool
    tokens: int | None = None
    score: float | None = None
    likelihood: float | None = None
    scorer_tokens: int = 0
    other_tokens: int = 0


@dataclass(frozen=True)
class Responses:
    """The scored samples of a bench by problem, and what is known of all of them.

    `scorer` is what `Candidate.score` is from, None if there is none. `takes_answers` says whether
    the verifier can compare answers without knowing the right one.
    """

    problems: Mapping[str, Sequence[Candidate]]
    scorer: str | None = None
    takes_answers: bool = True

    @property
    def all(self) -> list[Candidate]:
        """The responses to all problems."""
        return list(chain.from_iterable(self.problems.values()))


class Strategy(Protocol):
    """A way to choose; docs/design.md says how to add one."""

    name: str
    reads_logprobs: bool
    """Whether responses should be drawn with their log-probabilities."""
    reads_scores: bool = False
    """Whether it chooses by `Candidate.score`, and so spends what the score costs."""

    def unusable(self, responses: Responses) -> str | None:
        """Why it cannot choose from these responses, at least one; None if it can."""
        ...

    def asked(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those of the candidates, in their order, that it asks for before it is sure; usually all.

        What it does not ask for costs nothing.
        """
        return candidates

    def cost(self, candidate: Candidate) -> int | None:
        """Tokens of a response, of others for it, and of its score if that is read; None if not known."""
        if candidate.tokens is None:
            return None
        made = candidate.tokens + candidate.other_tokens
        return made + (candidate.scorer_tokens if self.reads_scores else 0)

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """Chance that its choice from at least one response is right; ties are broken at random."""
        ...


def chance_of_vote(candidates: Sequence[Candidate], weights: Sequence[float]) -> float:
    """Chance that the answer with the greatest sum of weights is right; 0 without answers."""
    totals: dict[str, list[float]] = defaultdict(list)
    for candidate, weight in zip(candidates, weights, strict=True):
        if candidate.answer is not None:
            totals[candidate.answer].append(weight)
    sums = {answer: math.fsum(weights) for answer, weights in totals.items()}

    # Sums of the same weights in another order may differ in their last digits, and still tie.
    most = max(sums.values(), default=0.0)
    winners = [answer for answer, total in sums.items() if math.isclose(total, most, rel_tol=1e-12)]
    return (RIGHT in winners) / len(winners) if winners else 0.0


def no_answers(responses: Responses) -> str | None:
    """Why there is nothing to vote on."""
    candidates = responses.all
    extracts = any(candidate.answer is not None for candidate in candidates)
    if not extracts and any(candidate.right for candidate in candidates):
        return "the verifier extracts no answers, so there is nothing to vote on"
    if not responses.takes_answers:
        return (
            "the bench's references are not answers, so the verifier cannot tell which are the same"
        )
    return None


def no_scores(responses: Responses) -> str | None:
    """Why there is nothing to rank by."""
    if responses.scorer is None:
        return "no log-probabilities and no stated confidence to choose by; name a scorer"
    if all(candidate.score is None for candidate in responses.all):
        return f"no response has a score by {responses.scorer}"
    return None
