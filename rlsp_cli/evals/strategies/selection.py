"""Which of a problem's responses a strategy may choose from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlsp_cli.evals.strategies.strategy import Candidate, Responses, Strategy
from rlsp_cli.evals.strategies.token_budget import Outcome, SingleAnswers, choose, choose_within

Problems = Mapping[str, Sequence[Candidate]]
"""Responses by the id of their problem."""


class Selection(Protocol):
    """A part of the responses to each problem."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        ...

    def outcomes(self, problems: Problems, strategy: Strategy) -> dict[str, Outcome]:
        """The strategy's outcome on each problem, choosing from this part of its responses."""
        ...


@dataclass(frozen=True)
class First:
    """The first `count` responses to each problem, all of them if None."""

    count: int | None = None

    @property
    def name(self) -> str:
        """`first 4`, or `all`."""
        return "all" if self.count is None else f"first {self.count}"

    def outcomes(self, problems: Problems, strategy: Strategy) -> dict[str, Outcome]:
        """Its choice from these, whatever they cost."""
        return {
            id: choose(candidates[: self.count], strategy) for id, candidates in problems.items()
        }


@dataclass(frozen=True)
class EqualTokens:
    """As many responses to each problem as fit into the tokens of its single answer."""

    reference: SingleAnswers
    name: str = "equal tokens"

    def outcomes(self, problems: Problems, strategy: Strategy) -> dict[str, Outcome]:
        """At least one response to each problem takes part.

        What a strategy saves where it stops by itself is shared equally among the other problems.
        """
        budgets = {id: self.reference.problems[id].tokens or 0.0 for id in problems}
        saved, unsure = 0.0, []
        for id, candidates in problems.items():
            asked = strategy.asked(candidates)
            if len(asked) < len(candidates):
                saved += max(0.0, budgets[id] - _cost(asked, strategy))
            else:
                unsure.append(id)

        for id in unsure:
            budgets[id] += saved / len(unsure)
        return {
            id: choose_within(candidates, budgets[id], strategy)
            for id, candidates in problems.items()
        }


def _cost(candidates: Sequence[Candidate], strategy: Strategy) -> int:
    return sum(strategy.cost(candidate) or 0 for candidate in candidates)


def selections(
    responses: Responses, reference: SingleAnswers | None, *, counted: bool
) -> Sequence[Selection]:
    """The parts to choose from: at equal tokens, if these are `counted`, and all responses.

    Without a reference they are the first 1, 2, 4, ... and all.
    """
    if reference:
        return [EqualTokens(reference), First()] if counted else [First()]

    # Only k that every problem has: a mean over fewer problems would not compare with the others.
    counts = [len(candidates) for candidates in responses.problems.values()]
    powers = [2**i for i in range(min(counts, default=0).bit_length())]
    return [*(First(k) for k in powers if k < max(counts)), First()]
