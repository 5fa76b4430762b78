"""Labels by binary search: the first step from which a model no longer reaches the right answer.

OmegaPRM (arXiv 2406.06592). A tree of states (starts of responses), each with the value that K
completions give it, offers wrong responses that pass through them. One search finds the first wrong
step of one response in log2 of its steps, and its midpoints become states of the tree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.rewards.sample import Sample
from rlsp_cli.traces.labels.completions import Completions, completed, value_of
from rlsp_cli.traces.labels.labelled import NOT_JUDGED, Labelled, until_error
from rlsp_cli.traces.labels.solution import Solution, Split
from rlsp_cli.traces.labels.tree import Candidate, State, Tree

_NOT_CHOSEN = "not among the searches of its problem"
_NO_VALUE = "no completion of the prompt is right"


@dataclass(frozen=True)
class BinarySearch:
    """Labels up to the first wrong step of wrong responses, the given ones and the model's own.

    `searches` is the most that are made for a problem. All steps of a given right response are
    right.
    """

    completions: Completions
    split: Split
    searches: int

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of given and of sampled responses."""
        right = [solution for solution in solutions if solution.is_right]
        wrong = [solution for solution in solutions if not solution.is_right]
        return [*(until_error(solution, None) for solution in right), *self._searched(wrong)]

    def _searched(self, wrong: Sequence[Solution]) -> Iterator[Labelled]:
        if not wrong:
            return
        tree = Tree()
        if self._expand(tree, wrong[0].sample, "", 0, wrong) is None:
            yield from (Labelled(one, fault=NOT_JUDGED, failed=True) for one in wrong)
            return

        waiting = {id(solution): solution for solution in wrong}
        for _ in range(self.searches):
            chosen = tree.choose()
            if chosen is None:
                break
            waiting.pop(id(chosen.solution), None)
            yield self._search(tree, chosen)

        fault = _NOT_CHOSEN if tree.seen else _NO_VALUE
        yield from (Labelled(solution, fault=fault) for solution in waiting.values())

    def _search(self, tree: Tree, chosen: Candidate) -> Labelled:
        """Halve the steps between one with a value above 0 and one with none."""
        solution, low = chosen.solution, chosen.state.count
        high = len(solution.steps)
        while high - low > 1:
            middle = (low + high) // 2
            value = self._expand(tree, solution.sample, solution.until(middle), middle)
            if value is None:
                return Labelled(solution, fault=NOT_JUDGED, failed=True)
            low, high = (middle, high) if value else (low, middle)
        return until_error(solution, high - 1)

    def _expand(
        self,
        tree: Tree,
        sample: Sample,
        prefix: str,
        count: int,
        wrong: Sequence[Solution] = (),
    ) -> float | None:
        """Estimate a state, and add it with the wrong ones of its completions; its value."""
        found = self.completions.of(sample, prefix)
        value = value_of(found)
        if value is not None:
            texts = [one.text for one in found if one.correct is not None and not one.correct]
            own = [self._solution(sample, prefix + text) for text in texts]
            longer = [solution for solution in own if len(solution.steps) > count]
            tree.add(State(count, value), [*wrong, *longer])
        return value

    def _solution(self, sample: Sample, response: str) -> Solution:
        steps = tuple(self.split(response))
        return Solution("sampled", completed(sample, response), steps)
