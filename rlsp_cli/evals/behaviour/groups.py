"""Behaviours of a run or a file: by model, bench and decoding, and over rollout steps."""

import math
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
    """Means by verdict and excerpts of one model's responses to one bench, decoded in one way."""

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
    """Means by verdict of the responses of rollout steps `first` to `last`, counted from 0."""

    first: int
    last: int
    means: Mapping[str, Means]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def behaviour_groups(
    target: Path, lexicon: Lexicon, shown: int = 3, most: int | None = None
) -> list[Group]:
    """The groups of a run or a file, with `shown` excerpts each.

    Of a group with more than `most` responses, `most` random ones are used.
    """
    groups = []
    for origin, responses in read_responses(target):
        # With a fixed seed, so that a report that is made again has the same numbers.
        part = responses
        if most and len(responses) > most:
            part = random.Random(0).sample(responses, most)

        means = means_by_verdict([measure(response, lexicon) for response in part])
        groups.append(Group(*origin, means, draw_excerpts(part, lexicon, shown)))

    return groups


def behaviour_stretches(target: Path, lexicon: Lexicon) -> list[Stretch]:
    """At most eight equal stretches of a run's rollout steps; empty without rollouts."""
    steps: dict[int, list[Measured]] = defaultdict(list)
    for response in read_rollouts(target):
        if response.step is not None:
            steps[response.step].append(measure(response, lexicon))

    # A single step has too few responses for a mean to say much.
    numbers = sorted(steps)
    size = max(1, math.ceil(len(numbers) / _STRETCHES))

    stretches = []
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        measured: list[Measured] = []
        for number in part:
            measured += steps[number]
        stretches.append(Stretch(part[0], part[-1], means_by_verdict(measured)))

    return stretches
