"""Samples and scores as plain data: lines of files, bodies of requests."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rlsp_cli.errors import DataError
from rlsp_cli.outside import count_of, valid_text
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.thinking import whole
from rlsp_cli.rewards.turns import Turns

_QUOTED = 20
"""Characters of a value that an error shows."""
_TYPES: dict[str, Any] = {
    "prompt": str,
    "response": str,
    "reference": str | int | float | None,
    "id": str | int | None,
    "metadata": dict | None,
    "num_tokens": int | None,
    "max_tokens": int | None,
    "truncated": bool | None,
    "step": int | None,
    "turns": dict | None,
    "start": int | None,
}


def as_sample(
    row: Mapping[str, Any], place: str, count: Callable[[str], int] | None = None
) -> Sample:
    """One sample from plain data; DataError says what is wrong with it."""
    if "response" not in row:
        raise DataError(f"{place}: no key 'response'; its keys: {', '.join(row)}")

    given = {key: row[key] for key in _TYPES if key in row}
    _check(given, place)

    reference = given.get("reference")
    num_tokens = given.get("num_tokens")
    if num_tokens is None and count is not None:
        num_tokens = count(valid_text(given["response"]))

    prompt = valid_text(given.get("prompt", ""))
    return Sample(
        prompt=prompt,
        response=whole(prompt, valid_text(given["response"])),
        reference=None if reference is None else valid_text(str(reference)),
        id=valid_text(str(given["id"])) if given.get("id") is not None else "",
        metadata=given.get("metadata") or {},
        num_tokens=num_tokens,
        max_tokens=given.get("max_tokens"),
        truncated=bool(given.get("truncated")),
        step=given.get("step"),
        turns=_turns(given.get("turns"), place),
        start=given.get("start") or 0,
    )


def _turns(given: Mapping[str, Any] | None, place: str) -> Turns | None:
    """The turns in a row of a run; DataError for any other mapping."""
    try:
        return Turns.from_json(given) if given else None
    except (TypeError, KeyError) as error:
        raise DataError(f"{place}: turns: {error}; expected them as in rollouts.jsonl") from error


def _check(given: Mapping[str, Any], place: str) -> None:
    """DataError for a value of the wrong type, or one that means nothing."""
    for key, value in given.items():
        # To Python, True is an integer as well.
        if not isinstance(value, _TYPES[key]) or (isinstance(value, bool) and key != "truncated"):
            expected = _words(_TYPES[key])
            raise DataError(f"{place}: {key} holds {type(value).__name__}, expected {expected}")

    for key, unit in (("num_tokens", "tokens"), ("max_tokens", "tokens"), ("start", "characters")):
        if given.get(key) is not None and count_of(given[key]) is None:
            found = str(given[key])[:_QUOTED]
            raise DataError(f"{place}: {key} is {found}, expected a number of {unit}")

    # JSON as Python reads it has NaN and Infinity.
    reference = given.get("reference")
    if isinstance(reference, float) and not math.isfinite(reference):
        raise DataError(f"{place}: reference is {reference}, expected a finite number, or text")


def _words(kind: Any) -> str:
    """A type, or the members of a union, as a message names them."""
    members = str(getattr(kind, "__name__", kind)).split("|")
    return " or ".join(member.strip() for member in members if "None" not in member)


def plain_score(sample: Sample, score: SampleScore) -> dict[str, Any]:
    """A sample's reward with all its components."""
    parts = [plain_part(part) for part in score.components]
    return {"id": sample.id, "reward": score.reward, "components": parts}


def rollout_row(step: int, sample: Sample, score: SampleScore) -> dict[str, Any]:
    """One response of a rollout as a row of rollouts.jsonl, with each component by itself."""
    turns = {"turns": asdict(sample.turns)} if sample.turns else {}
    start = {"start": sample.start} if sample.start else {}
    return {
        "step": step,
        "id": sample.id,
        "prompt": sample.prompt,
        "response": sample.response,
        **start,
        **turns,
        "reference": sample.reference,
        "metadata": dict(sample.metadata),
        "num_tokens": sample.num_tokens,
        "max_tokens": sample.max_tokens,
        "truncated": sample.truncated,
        "correctness": score.correctness.to_row(),
        "exploration": [part.to_row() for part in score.exploration],
        "reward": score.reward,
    }


def plain_part(score: Score) -> dict[str, Any]:
    """One component: how it ended, its value or None, and how long it took."""
    return {
        "component": score.component,
        "outcome": score.outcome,
        "value": score.value,
        "answer": score.answer,
        "seconds": score.ms / 1000,
        "reason": score.reason,
    }
