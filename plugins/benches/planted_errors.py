"""Rows of labelled steps: demonstrations of `pair_sum` with an error at a known step."""

import random
import re
from typing import Any

from rlsp_cli.rewards import row_shape

_SUM = re.compile(r"(\d+) \+ (\d+) = (\d+), (\d+) wanted: too (low|high)\.")
_SENTENCE = re.compile(r"(?<=[.])\s+")
_OTHER = {"low": "high", "high": "low"}


@row_shape
def planted_errors(row: dict[str, Any], *, chance: float = 0.5) -> dict[str, Any]:
    """The sentences of `solution` as steps; one of its failed sums is made wrong with this `chance`.

    Either the sum is off by 1 to 3, or `too low` and `too high` are exchanged. Steps before the
    error are labelled true. Those after it have no label, since they go on from an error.
    """
    rng = random.Random(f"{row['id']}:planted")
    steps = _SENTENCE.split(row["solution"])
    sums = [number for number, step in enumerate(steps) if _SUM.search(step)]

    labels: list[bool | None] = [True] * len(steps)
    if sums and rng.random() < chance:
        wrong = rng.choice(sums)
        steps[wrong] = _made_wrong(steps[wrong], rng)
        labels[wrong:] = [False] + [None] * (len(steps) - wrong - 1)
    return {"id": row["id"], "prompt": row["problem"], "completions": steps, "labels": labels}


def _made_wrong(step: str, rng: random.Random) -> str:
    found = _SUM.search(step)
    assert found, "called for sums"
    if rng.random() < 0.5:
        return step.replace(f"too {found[5]}", f"too {_OTHER[found[5]]}")

    # A sum below 1 would be no sum of two of these numbers, and easy to see.
    off = [number for number in (-3, -2, -1, 1, 2, 3) if int(found[3]) + number > 0]
    return step.replace(f"= {found[3]}", f"= {int(found[3]) + rng.choice(off)}")
