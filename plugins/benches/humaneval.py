"""HumanEval: a function to complete, and a `check` that calls it."""

import json
from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def humaneval(row: dict[str, Any]) -> dict[str, Any]:
    """The reference is one test, the row's `check` called with the function; `gold` is its own solution."""
    test = f"{row['test']}\ncheck({row['entry_point']})"
    return {
        "id": row["task_id"],
        "problem": row["prompt"].strip("\n"),
        "answer": json.dumps([test]),
        "gold": f"```python\n{row['prompt']}{row['canonical_solution']}\n```",
    }
