"""Some responses are scored again without their later steps, to catch a scorer that looks ahead."""

import random
from collections.abc import Callable, Sequence

from rlsp_cli.rewards.sample import Sample, StepScore
from rlsp_cli.rewards.steps import ScoredSteps, change, cut

ONE_IN = 32
"""The responses of which one is checked. It costs as much again as scoring its first steps does."""


_TIMES = 3
"""How often a change has to be seen before it counts: models may answer a question in two ways."""

ScoreTexts = Callable[[Sample, Sequence[str]], ScoredSteps]
"""Scores a sample at the steps with these texts."""


class SpotCheck:
    """Checks one response in 32, and all responses of a scorer that was caught once.

    Which ones, and up to which step they are scored again, depends on their texts alone.
    """

    def __init__(self) -> None:
        self._caught: set[str] = set()

    def fault(
        self, scorer: str, score: ScoreTexts, sample: Sample, found: Sequence[StepScore]
    ) -> str | None:
        """In words, which score of `found` is another one without the later steps.

        None if there is none, or if the response is not checked.
        """
        text = f"{sample.prompt}\0{sample.response}"
        draw = random.Random(text.encode(errors="replace"))
        is_drawn = draw.randrange(ONE_IN) == 0
        if len(found) < 2 or not (is_drawn or scorer in self._caught):
            return None

        first = found[: draw.randrange(1, len(found))]
        whole, short = cut(sample, found), cut(sample, first)
        again = score(*short).steps
        changed = change(first, again)
        if changed is None:
            return None

        for _ in range(_TIMES - 1):
            if change(first, score(*whole).steps) or change(again, score(*short).steps):
                return None
        self._caught.add(scorer)
        return changed
