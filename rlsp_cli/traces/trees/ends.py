"""The whole responses of a tree with their verdicts, which all that is written is made of."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

Steps = tuple[str, ...]
"""The steps of a response or of its beginning, as the model wrote them."""


class End(NamedTuple):
    """A whole response: its steps, whether it is right, and the search's score of it if known."""

    steps: Steps
    is_right: bool
    score: float | None = None

    @property
    def text(self) -> str:
        """The response."""
        return "".join(self.steps).strip()


class Ends:
    """The whole responses of one problem's tree, in the order in which they were sampled.

    Branches with the same text are one branch: small models often write the same step again.
    """

    def __init__(self, ends: Sequence[End]) -> None:
        self.ends = tuple(ends)

    @property
    def right(self) -> list[End]:
        """The right responses, each text once, the one with the highest score first."""
        return _best([end for end in self.ends if end.is_right])

    @property
    def wrong(self) -> list[End]:
        """The wrong ones, likewise."""
        return _best([end for end in self.ends if not end.is_right])

    def after(self, steps: Steps) -> "Ends":
        """The responses that begin with these steps."""
        return Ends(self._after.get(steps, ()))

    def next_steps(self, steps: Steps) -> list[Steps]:
        """The beginnings that are one step longer."""
        longer = (end.steps[: len(steps) + 1] for end in self._after.get(steps, ()))
        return [one for one in dict.fromkeys(longer) if len(one) > len(steps)]

    @property
    def beginnings(self) -> list[Steps]:
        """Every beginning of a response, the empty one and the whole included."""
        return list(self._after)

    def value(self, backup: str) -> float:
        """The share of right responses; with `max`, 1 if any is right."""
        verdicts = [float(end.is_right) for end in self.ends]
        return max(verdicts) if backup == "max" else statistics.fmean(verdicts)

    @cached_property
    def _after(self) -> dict[Steps, list[End]]:
        found: dict[Steps, list[End]] = defaultdict(list)
        for end in self.ends:
            for length in range(len(end.steps) + 1):
                found[end.steps[:length]].append(end)
        return dict(found)


def _best(ends: Sequence[End]) -> list[End]:
    """Each text once, by falling score; equal ones in their order."""
    by_text: dict[str, End] = {}
    for end in ends:
        by_text.setdefault(end.text, end)
    return sorted(by_text.values(), key=lambda end: (end.score is None, -(end.score or 0.0)))
