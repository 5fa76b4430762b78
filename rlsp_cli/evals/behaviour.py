"""Search behaviours of responses, always beside what growth of words alone would also change."""

import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rlsp_cli.rewards.answers import candidate_answers
from rlsp_cli.rewards.behaviour import compression, repetition
from rlsp_cli.rewards.lexicon import Lexicon, Mark
from rlsp_cli.rewards.sample import is_right

Row = dict[str, Any]
Segment = tuple[str, str | None]
"""Some text, and the behaviour whose words it is."""
_WINDOW = 240
"""Letters shown on each side of an excerpt's mark."""


class Facts(NamedTuple):
    """What one response says of itself; `value` is the verifier's, None when there is none."""

    counts: dict[str, int]
    repetition: float
    compression: float
    candidates: int
    tokens: int | None
    value: float | None


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a response around one of its marks."""

    id: str
    value: float | None
    segments: list[Segment]


def facts(row: Row, lexicon: Lexicon) -> Facts:
    """The facts of a row of samples.jsonl or rollouts.jsonl; only `response` must be there."""
    text = row["response"]
    shape = (repetition(text), compression(text), len(candidate_answers(text)))
    return Facts(lexicon.counts(text), *shape, row.get("num_tokens"), _value(row))


def behaviour(found: Sequence[Facts]) -> dict[str, Any]:
    """Means over responses: `all` of them, and apart the `right` and the `wrong` ones where a verifier judged."""
    right = [f for f in found if f.value is not None and is_right(f.value)]
    wrong = [f for f in found if f.value is not None and not is_right(f.value)]
    parts = {"all": found, "right": right, "wrong": wrong}
    return {name: _means(part) for name, part in parts.items() if part}


def excerpts(rows: Iterable[Row], lexicon: Lexicon, number: int, seed: int = 0) -> list[Excerpt]:
    """Stretches around a mark drawn at random, of `number` responses drawn among those with marks."""
    rng, seen = random.Random(seed), 0
    drawn: list[Excerpt] = []
    for row in rows:
        marks = lexicon.marks(row["response"])
        if not marks:
            continue
        seen += 1
        place = len(drawn) if len(drawn) < number else rng.randrange(seen)
        if place < number:
            drawn[place : place + 1] = [_excerpt(row, marks, rng.choice(marks))]
    return drawn


def _value(row: Row) -> float | None:
    """The verifier's; None where a row from elsewhere has no such score."""
    score = row.get("correctness")
    return score.get("value") if isinstance(score, dict) else None


def _means(part: Sequence[Facts]) -> dict[str, Any]:
    names = part[0].counts
    return {
        "responses": len(part),
        "accuracy": _mean(f.value for f in part),
        "tokens": _mean(f.tokens for f in part),
        "behaviour": {name: statistics.fmean(f.counts[name] for f in part) for name in names},
        "share": {name: statistics.fmean(f.counts[name] > 0 for f in part) for name in names},
        "share_any": statistics.fmean(any(f.counts.values()) for f in part),
        "repetition": statistics.fmean(f.repetition for f in part),
        "compression": statistics.fmean(f.compression for f in part),
        "candidates": statistics.fmean(f.candidates for f in part),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _excerpt(row: Row, marks: Sequence[Mark], chosen: Mark) -> Excerpt:
    """The words around one mark; of marks that overlap the first is shown."""
    text = row["response"]
    start, end = max(0, chosen.start - _WINDOW), min(len(text), chosen.end + _WINDOW)
    segments: list[Segment] = [("… ", None)] if start else []
    at = start
    for mark in marks:
        if mark.start >= at and mark.end <= end:
            segments += [(text[at : mark.start], None), (text[mark.start : mark.end], mark.behaviour)]
            at = mark.end
    segments += [(text[at:end] + (" …" if end < len(text) else ""), None)]
    return Excerpt(str(row.get("id", "")), _value(row), [segment for segment in segments if segment[0]])
