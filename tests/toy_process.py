"""A process of known value, in place of a model: a chain of good and bad states, a line for each.

A response has `length` lines, `good` or `bad`, and ends with the last of them as its answer; good is
right. A good state turns bad with probability `slip`, and a bad one good with `mend`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from rlsp_cli.rewards.sample import Sample
from rlsp_cli.traces.labels.completions import Drawing, Drawn

PROMPT = "Walk.\n"


@dataclass(frozen=True)
class ToyProcess:
    length: int = 8
    slip: float = 0.1
    mend: float = 0.0

    def value(self, response: str) -> float:
        """The true probability that a response with this beginning ends well."""
        states = response.split()
        left, good = self.length - len(states), float((states or ["good"])[-1] == "good")
        stay, rate = 1 - self.slip - self.mend, self.slip + self.mend
        # Of a chain with two states: the limit, and how much of the start is left of it.
        limit = self.mend / rate if rate else good
        return limit + (good - limit) * stay**left

    def draw(self, prompt: str, drawing: Drawing) -> Drawn:
        chance = random.Random(f"{drawing.seed}{prompt}")
        response = prompt.removeprefix(PROMPT)
        texts = [self._rest(response, chance) for _ in range(drawing.count)]
        return Drawn(texts, sum(len(text.split()) for text in texts))

    def samples(self, count: int, seed: int = 0) -> Iterator[Sample]:
        """Responses with their verdicts, each to the same problem."""
        chance = random.Random(seed)
        for number in range(count):
            response = self._rest("", chance)
            correct = float(is_good(response))
            yield Sample(PROMPT, response, "good", str(number), correct=correct)

    def _rest(self, response: str, chance: random.Random) -> str:
        states = response.split()
        good, lines = (states or ["good"])[-1] == "good", []
        for _ in range(self.length - len(states)):
            changes = chance.random() < (self.slip if good else self.mend)
            good = good != changes
            lines.append("good" if good else "bad")
        return "\n".join(lines)


def is_good(response: str) -> bool:
    """The verdict on a whole response."""
    return response.rsplit(maxsplit=1)[-1] == "good"


def first_slip(response: str) -> int | None:
    """The number of the first bad line, from 0: the true first error where none is mended."""
    states = response.split()
    return states.index("bad") if "bad" in states else None
