"""What a labelling gives for a response, and what all labellings share."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from rlsp_cli.traces.labels.solution import Solution

Label = bool | float | None
"""Whether a step is right or, as a soft label, the estimated value after it, 0 to 1; None if that
is not known."""

NOT_JUDGED = "no verdict on any completion of a step"


class Labelled(NamedTuple):
    """A response and the labels of its first steps; those after them have none.

    `fault` says why there are no labels, and `failed` whether that is because something broke.
    `more` are further columns of its row.
    """

    solution: Solution
    labels: tuple[Label, ...] = ()
    fault: str | None = None
    failed: bool = False
    more: Mapping[str, str] = MappingProxyType({})

    def to_row(self) -> dict[str, Any]:
        """A row of the file, as Axolotl's type `stepwise_supervised` reads it, with the id."""
        steps = self.solution.steps[: len(self.labels)]
        sample = self.solution.sample
        return {
            "id": sample.id,
            "prompt": sample.prompt,
            "completions": [step.text for step in steps],
            "labels": list(self.labels),
            **self.more,
        }


class Labeller(Protocol):
    """One way to label steps."""

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of responses to one problem; there may be other responses in the result."""
        ...


def first_error(labels: Sequence[Label]) -> int | None:
    """The number of the first step that is wrong, from 0; None if none is known to be."""
    wrong = (number for number, label in enumerate(labels) if label is not None and not label)
    return next(wrong, None)


def until_error(solution: Solution, error: int | None) -> Labelled:
    """Labels that say where the first error is, and nothing of the steps after it."""
    if error is None:
        return Labelled(solution, (True,) * len(solution.steps))
    return Labelled(solution, (True,) * error + (False,))
