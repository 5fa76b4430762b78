"""More rows from rows: two neighbouring steps become one."""

import random
from typing import Any


def merged(row: dict[str, Any]) -> dict[str, Any] | None:
    """The row with two neighbouring steps in one, whose label is the second's; None for one step.

    Hierarchical node compression (HNC, arXiv 2503.13551), which merges nodes of a search tree: a
    step that mends the one before makes a right one together with it. Which two is drawn from the
    row's text.
    """
    steps, labels = row["completions"], row["labels"]
    if len(steps) < 2:
        return None

    at = random.Random(f"{row['prompt']}{steps}").randrange(len(steps) - 1)
    together = f"{steps[at]}\n{steps[at + 1]}"
    return {
        **row,
        "completions": [*steps[:at], together, *steps[at + 2 :]],
        "labels": [*labels[:at], *labels[at + 1 :]],
    }
