"""Labels of a stepwise outcome reward model: can the right answer still be reached from a step?"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.traces.labels.completions import Completions, value_of
from rlsp_cli.traces.labels.labelled import NOT_JUDGED, Label, Labelled
from rlsp_cli.traces.labels.solution import Solution

_NONE_LEFT = "no label left after balancing"


@dataclass(frozen=True)
class Reachable:
    """A step is right if a completion after it, or after a later step, is right.

    SORM of GLoRe (arXiv 2402.10963), after a third party's code: what a later step can reach, an
    earlier one can as well. So only the steps from the last one back to the first such are asked
    about; the last step's label is the response's verdict.
    """

    completions: Completions

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of every step of every response."""
        return [self._labelled(solution) for solution in solutions]

    def _labelled(self, solution: Solution) -> Labelled:
        every = len(solution.steps)
        for count in range(every, 0, -1):
            value = self._value(solution, count)
            if value is None:
                return Labelled(solution, fault=NOT_JUDGED, failed=True)
            if value:
                return Labelled(solution, (True,) * count + (False,) * (every - count))
        return Labelled(solution, (False,) * every)

    def _value(self, solution: Solution, count: int) -> float | None:
        if count == len(solution.steps):
            return float(solution.is_right)
        return value_of(self.completions.of(solution.sample, solution.until(count)))


def balanced(found: Sequence[Labelled], seed: int) -> Iterator[Labelled]:
    """At each step number as many right as wrong labels: those drawn from the others become None.

    Else a model would learn from the number of a step how likely it is right (2402.10963). A
    response without a label is left out.
    """
    dropped = set(_surplus(found, random.Random(seed)))
    for row, one in enumerate(found):
        labels = tuple(
            None if (row, number) in dropped else label for number, label in enumerate(one.labels)
        )
        is_empty = not one.fault and all(label is None for label in labels)
        yield Labelled(one.solution, fault=_NONE_LEFT) if is_empty else one._replace(labels=labels)


def _surplus(found: Sequence[Labelled], chance: random.Random) -> Iterator[tuple[int, int]]:
    """The labels to drop, each by its row and the number of its step."""
    for number in range(max((len(one.labels) for one in found), default=0)):
        rows: dict[Label, list[int]] = {True: [], False: []}
        for row, one in enumerate(found):
            if number < len(one.labels):
                rows[one.labels[number]].append(row)

        fewer, more = sorted(rows.values(), key=len)
        for row in chance.sample(more, len(more) - len(fewer)):
            yield row, number
