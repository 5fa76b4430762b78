"""Completions of a prefix by a model, judged by the verifier: what a prefix is worth."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from rlsp_cli.rewards.sample import Sample, Score, is_right
from rlsp_cli.traces.labels.remembered import Remembered


@dataclass(frozen=True)
class Drawing:
    """How completions are drawn: how many of each prefix, how long (tokens), and from what seed."""

    count: int
    max_tokens: int
    temperature: float
    seed: int


class Drawn(NamedTuple):
    """The texts that a model wrote, and the tokens that it has read and written for them."""

    texts: list[str]
    tokens: int


Draw = Callable[[str, Drawing], Drawn]
"""Asks a model to continue a text."""


class Completion(NamedTuple):
    """The text after a prefix, and the verdict on the whole response; None if there is none."""

    text: str
    correct: float | None


@dataclass(frozen=True)
class Completions:
    """Asks a model to complete prefixes, and the verifier about the whole responses.

    `identity` is what the answers depend on beside the prefix: the model and the verifier.
    """

    draw: Draw
    drawing: Drawing
    verify: Callable[[Sequence[Sample]], list[Score]]
    remembered: Remembered
    identity: object = None

    def of(self, sample: Sample, prefix: str) -> list[Completion]:
        """The completions of a start of the sample's response."""
        asked = [asdict(self.drawing), self.identity]
        question = [asked, sample.prompt, prefix, sample.reference, sample.metadata]
        found = self.remembered.get(question, lambda: self._judged(sample, prefix))
        return [Completion(*one) for one in found["completions"]]

    def _judged(self, sample: Sample, prefix: str) -> dict[str, Any]:
        drawn = self.draw(sample.prompt + prefix, self.drawing)
        verdicts = self.verify([completed(sample, prefix + text) for text in drawn.texts])

        values = [verdict.value for verdict in verdicts]
        completions = list(zip(drawn.texts, values, strict=True))
        return {"completions": completions, "tokens": drawn.tokens}


def value_of(completions: Sequence[Completion]) -> float | None:
    """The share of right ones among those that were judged; None if none was.

    Math-Shepherd's soft label (arXiv 2312.08935).
    """
    verdicts = [is_right(one.correct) for one in completions if one.correct is not None]
    return statistics.fmean(verdicts) if verdicts else None


def completed(sample: Sample, response: str) -> Sample:
    """The sample with another response, of which nothing else is known yet."""
    return replace(sample, response=response, num_tokens=None, correct=None, answer=None)
