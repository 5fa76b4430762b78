"""One step of a training, as tables and plots show it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """The numbers of a step by their keys, such as `correctness/mean`; `number` counts from 1."""

    number: int
    values: Mapping[str, float]


def steps_of(rows: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The steps in rows of metrics.jsonl, where they are counted from 0."""
    steps = []
    for row in rows:
        values = dict(row)
        steps.append(Step(values.pop("step") + 1, values))
    return steps


def keys_of(steps: Iterable[Step]) -> list[str]:
    """All keys of the steps, in the order in which they first occur."""
    keys: dict[str, None] = {}
    for step in steps:
        keys |= dict.fromkeys(step.values)
    return list(keys)


def span(first: int, last: int) -> str:
    """`3`, or `3-8`."""
    return str(first) if first == last else f"{first}-{last}"
