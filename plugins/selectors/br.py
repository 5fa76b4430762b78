"""Keep the best response to each prompt and a random one."""

from collections.abc import Sequence
from random import Random

from rlsp_cli.rewards import Sample, Signal, selector, signal_of


@selector
def br(group: Sequence[Sample], *, by: Signal = "correctness", seed: int = 0) -> list[bool]:
    """Keep the best response, the first of equally good ones, and one of the others at random.

    PF-PPO's BR filter. The random choice depends on `seed`, the prompt and the step, so it is the
    same each time. A prompt without a scored response is dropped.
    """
    scores = signal_of(group, by)
    known = [row for row, score in enumerate(scores) if score is not None]
    if not known:
        return [False] * len(group)

    # In order of rows, `max` takes the first of equal scores.
    best = max(known, key=lambda row: scores[row] or 0.0)
    others = [row for row in known if row != best]

    first = group[0]
    random = Random(f"{seed}:{first.id}:{first.step}:{first.prompt}")
    chosen = {best, *random.sample(others, min(1, len(others)))}
    return [row in chosen for row in range(len(group))]
