"""Partly right responses: as far as their results are those of a right response."""

from collections.abc import Iterator, Sequence

from rlsp_cli.rewards.answers import normalised
from rlsp_cli.traces.labels.labelled import Labelled, until_error
from rlsp_cli.traces.labels.solution import Solution

State = tuple[str, ...]
"""The results so far, sorted: in what order they were computed does not matter."""


class PartlyRight:
    """Labels steps right up to the last one at which the state is that of a right response.

    The state is what stands to the right of the last `=` of each step so far. TraceCodegen (arXiv
    2205.14318) compares the values of a program's variables; that results stand for them is ours.
    A step after that one has no label: another way may be right too.
    """

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Right labels of right responses, and of the starts of others."""
        right = [solution for solution in solutions if solution.is_right]
        known = {state for solution in right for state in states(solution) if state}
        return [self._labelled(solution, known) for solution in solutions]

    def _labelled(self, solution: Solution, known: set[State]) -> Labelled:
        if solution.is_right:
            return until_error(solution, None)

        counts = [count for count, state in enumerate(states(solution), 1) if state in known]
        if not counts:
            return Labelled(solution, fault="no state of a right response")
        return Labelled(solution, (True,) * counts[-1])


def states(solution: Solution) -> Iterator[State]:
    """The state after each step."""
    results: list[str] = []
    for step in solution.steps:
        _, equals, result = step.text.rpartition("=")
        if equals and result.strip():
            results.append(normalised(result))
        yield tuple(sorted(results))
