"""Excerpts of responses around the words that were counted, for people to read."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlsp_cli.evals.behaviour.response import SavedResponse
from rlsp_cli.rewards.lexicon import Lexicon, Mark

Segment = tuple[str, str | None]
"""Some text, and the behaviour whose words it is; None for plain text."""
_WINDOW = 240
"""Characters shown on each side of an excerpt's mark."""


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a response around one of its marks; `value` is the verifier's."""

    id: str
    value: float | None
    segments: Sequence[Segment]


def draw_excerpts(
    responses: Iterable[SavedResponse], lexicon: Lexicon, number: int, seed: int = 0
) -> list[Excerpt]:
    """Excerpts of `number` random responses with marks, around one random mark of each."""
    rng, seen = random.Random(seed), 0
    drawn: list[Excerpt] = []
    for response in responses:
        marks = lexicon.marks(response.text)
        if not marks:
            continue

        # Reservoir sampling (Vitter's algorithm R): the responses of a run need not fit into memory
        # twice.
        seen += 1
        place = len(drawn) if len(drawn) < number else rng.randrange(seen)
        if place < number:
            drawn[place : place + 1] = [_excerpt(response, marks, rng.choice(marks))]

    return drawn


def _excerpt(response: SavedResponse, marks: Sequence[Mark], chosen: Mark) -> Excerpt:
    """The words around one mark; of marks that overlap the first is shown."""
    text = response.text
    start, end = max(0, chosen.start - _WINDOW), min(len(text), chosen.end + _WINDOW)

    segments: list[Segment] = [("… ", None)] if start else []
    at = start
    for mark in marks:
        # One that the excerpt cuts would show half a word as a behaviour.
        if mark.start >= at and mark.end <= end:
            segments += [
                (text[at : mark.start], None),
                (text[mark.start : mark.end], mark.behaviour),
            ]
            at = mark.end

    segments.append((text[at:end] + (" …" if end < len(text) else ""), None))

    return Excerpt(response.id, response.value, [segment for segment in segments if segment[0]])
