"""OmegaPRM's tree of states, and its choice of what to search next (arXiv 2406.06592)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rlsp_cli.traces.labels.solution import Solution

# The constants of a third party's code of the paper; the length of 500 words is from memory.
_ALPHA = 0.5
_BETA = 0.9
_LONG = 500
"""Words from the state on at which length costs a factor of `_BETA`."""
_EXPLORATION = 0.125


@dataclass
class State:
    """A start of a response: how many steps, its value, and how often it was chosen."""

    count: int
    value: float
    visits: int = 0


class Candidate(NamedTuple):
    """A wrong response, and a state that it passes through with a value above 0."""

    state: State
    solution: Solution

    @property
    def priority(self) -> float:
        """Q = a^(1 - MC) b^(words / L): likely to be right, short from the state on, yet wrong."""
        start = self.solution.until(self.state.count)
        words = len(self.solution.sample.response[len(start) :].split())
        return float(_ALPHA ** (1 - self.state.value) * _BETA ** (words / _LONG))


@dataclass
class Tree:
    """The candidates of one problem."""

    states: list[State] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def add(self, state: State, wrong: Sequence[Solution]) -> None:
        """Add a state and the wrong responses that pass through it, each once in the tree."""
        self.states.append(state)
        if not state.value:
            return
        for solution in wrong:
            if solution.sample.response not in self.seen:
                self.seen.add(solution.sample.response)
                self.candidates.append(Candidate(state, solution))

    def choose(self) -> Candidate | None:
        """Take out the candidate of the largest Q + U; None if there is none left."""
        if not self.candidates:
            return None
        visits = math.sqrt(sum(state.visits for state in self.states))

        def value(candidate: Candidate) -> float:
            u = _EXPLORATION * visits / (1 + candidate.state.visits)
            return candidate.priority + u

        chosen = max(self.candidates, key=value)
        self.candidates.remove(chosen)
        chosen.state.visits += 1
        return chosen
