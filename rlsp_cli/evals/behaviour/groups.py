"""Behaviours of a run or a file: by model, bench and decoding, and over rollout steps."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.evals.behaviour.excerpt import Excerpt, draw_excerpts
from rlsp_cli.evals.behaviour.means import Means, Measured, means_by_verdict, measure
from rlsp_cli.evals.behaviour.response import read_responses, read_rollouts
from rlsp_cli.rewards.lexicon import Lexicon

_STRETCHES = 8
"""Parts into which the rollout steps of a run are divided."""


@dataclass(frozen=True)
class Group:
    """Responses of one model to one bench, decoded in one way: their means by verdict, and excerpts."""

    model: str
    bench: str
    decoding: str
    means: Mapping[str, Means]
    excerpts: Sequence[Excerpt]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Stretch:
    """Rollout steps from `first` to `last`, counted from 0, and the means of their responses by verdict."""

    first: int
    last: int
    means: Mapping[str, Means]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def behaviour_groups(
    target: Path, lexicon: Lexicon, shown: int = 3, most: int | None = None
) -> list[Group]:
    """The groups of a run or a file, with `shown` excerpts each; of more than `most` responses a random part."""
    groups = []
    for origin, responses in read_responses(target):
        part = (
            random.Random(0).sample(responses, most)
            if most and len(responses) > most
            else responses
        )
        means = means_by_verdict([measure(response, lexicon) for response in part])
        groups.append(Group(*origin, means, draw_excerpts(part, lexicon, shown)))
    return groups


def behaviour_stretches(target: Path, lexicon: Lexicon) -> list[Stretch]:
    """Some equal stretches of a run's rollout steps; empty without rollouts."""
    steps: dict[int, list[Measured]] = defaultdict(list)
    for response in read_rollouts(target):
        if response.step is not None:
            steps[response.step].append(measure(response, lexicon))

    numbers = sorted(steps)
    size = max(1, -(-len(numbers) // _STRETCHES))  # rounded up
    stretches = []
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        measured: list[Measured] = []
        for number in part:
            measured += steps[number]
        stretches.append(Stretch(part[0], part[-1], means_by_verdict(measured)))
    return stretches
