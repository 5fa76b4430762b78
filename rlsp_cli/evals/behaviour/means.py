"""Means of behaviours per response, beside what longer responses alone would change too."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlsp_cli.evals.behaviour.response import SavedResponse
from rlsp_cli.rewards.answers import candidate_answers
from rlsp_cli.rewards.lexicon import Lexicon
from rlsp_cli.rewards.repetition import compression, repetition
from rlsp_cli.rewards.sample import is_right


@dataclass(frozen=True)
class Measured:
    """One response: occurrences of each behaviour's words, how repetitive it is, how many answers.

    `candidates` counts the different answers that it offers.
    """

    counts: Mapping[str, int]
    repetition: float
    compression: float
    candidates: int
    tokens: int | None
    value: float | None


@dataclass(frozen=True)
class Means:
    """Means over `responses`; `share` is the share of responses with any words of a behaviour.

    `accuracy` and `tokens` are over the responses where they are known, None where they are for
    none.
    """

    responses: int
    accuracy: float | None
    tokens: float | None
    behaviour: Mapping[str, float]
    share: Mapping[str, float]
    share_any: float
    repetition: float
    compression: float
    candidates: float


def measure(response: SavedResponse, lexicon: Lexicon) -> Measured:
    """The measures of one response."""
    text = response.text
    return Measured(
        counts=lexicon.counts(text),
        repetition=repetition(text),
        compression=compression(text),
        candidates=len(candidate_answers(text)),
        tokens=response.tokens,
        value=response.value,
    )


def means_by_verdict(measured: Sequence[Measured]) -> dict[str, Means]:
    """Means over `all` responses, and over the `right` and `wrong` ones of those with a verdict."""
    judged = [one for one in measured if one.value is not None]
    parts = {
        "all": measured,
        "right": [one for one in judged if is_right(one.value)],
        "wrong": [one for one in judged if not is_right(one.value)],
    }
    return {name: _means(part) for name, part in parts.items() if part}


def _means(part: Sequence[Measured]) -> Means:
    # A mean alone can come from one response that says "wait" a hundred times; the share cannot.
    behaviour, share = {}, {}
    for name in part[0].counts:
        counts = [one.counts[name] for one in part]
        behaviour[name] = statistics.fmean(counts)
        share[name] = statistics.fmean(count > 0 for count in counts)

    return Means(
        responses=len(part),
        accuracy=_mean_known(one.value for one in part),
        tokens=_mean_known(one.tokens for one in part),
        behaviour=behaviour,
        share=share,
        share_any=statistics.fmean(any(one.counts.values()) for one in part),
        repetition=statistics.fmean(one.repetition for one in part),
        compression=statistics.fmean(one.compression for one in part),
        candidates=statistics.fmean(one.candidates for one in part),
    )


def _mean_known(values: Iterable[float | None]) -> float | None:
    # A file of responses may lack tokens and verdicts, or have them for some rows only.
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
