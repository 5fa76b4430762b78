"""A probe: the problem with a rationale whose words are masked or out of order."""

import random
import re
from typing import Any, Literal

from rlsp_cli.rewards import row_shape

_MASK = "_"


@row_shape
def rationale_perturbation(
    row: dict[str, Any],
    *,
    problem: str = "problem",
    rationale: str = "rationale",
    how: Literal["mask", "shuffle"] = "mask",
    share: float = 1.0,
) -> dict[str, Any]:
    """The problem as it is, but for a `share` of the words of the rationale in it, drawn by its text.

    Answers that hardly change do not rest on the rationale. After PINTO (2211.01562), which masks or
    replaces tokens.
    """
    asked, given = str(row[problem]), str(row[rationale])
    if not given.strip() or given not in asked:
        raise ValueError(
            f"the text of column {rationale!r} is not in the problem; put it there, as "
            f"`row: {{use: knowledge_given, knowledge: {rationale}}}` does"
        )

    rng = random.Random(given)
    parts = re.split(r"(\s+)", given)
    places = [n for n, part in enumerate(parts) if part.strip() and rng.random() < share]
    words = [_MASK if how == "mask" else parts[place] for place in places]
    for place, word in zip(places, rng.sample(words, len(words)), strict=True):
        parts[place] = word
    return {**row, problem: asked.replace(given, "".join(parts))}
