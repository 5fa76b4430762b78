"""Rows of labelled steps: demonstrations of `pair_sum` with errors at known steps."""

import random
import re
from typing import Any

from rlsp_cli.rewards import row_shape

_SUM = re.compile(r"(\d+) \+ (\d+) = (\d+), (\d+) wanted: too (low|high)\.")
_SENTENCE = re.compile(r"(?<=[.])\s+")
_OTHER = {"low": "high", "high": "low"}


@row_shape
def planted_errors(row: dict[str, Any], *, chance: float = 0.3) -> dict[str, Any]:
    """The sentences of `solution` as steps; each of its failed sums is made wrong with this `chance`.

    A wrong sum is off by 1 to 3, or `too low` and `too high` are exchanged. It is labelled false,
    and every other step true.
    """
    rng = random.Random(f"{row['id']}:planted")
    steps, labels = [], []
    for step in _SENTENCE.split(row["solution"]):
        is_wrong = bool(_SUM.search(step)) and rng.random() < chance
        steps.append(_made_wrong(step, rng) if is_wrong else step)
        labels.append(not is_wrong)
    return {"id": row["id"], "prompt": row["problem"], "completions": steps, "labels": labels}


def _made_wrong(step: str, rng: random.Random) -> str:
    found = _SUM.search(step)
    assert found, "called for sums"
    if rng.random() < 0.5:
        return step.replace(f"too {found[5]}", f"too {_OTHER[found[5]]}")

    # A sum below 1 would be no sum of two of these numbers, and easy to see.
    off = [number for number in (-3, -2, -1, 1, 2, 3) if int(found[3]) + number > 0]
    return step.replace(f"= {found[3]}", f"= {int(found[3]) + rng.choice(off)}")
