"""HumanEval: a function to complete, and a `check` that calls it."""

import json
from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def humaneval(row: dict[str, Any]) -> dict[str, Any]:
    """HumanEval: a function to complete, tested by the row's `check`; `gold` is its own solution.

    What a problem gives before the function, imports and sometimes functions, is run before the
    program and before the test.
    """
    name = row["entry_point"]
    given = row["prompt"].rpartition(f"def {name}(")[0]
    test = f"{given}\n{row['test']}\ncheck({name})"
    return {
        "id": row["task_id"],
        "problem": row["prompt"].strip("\n"),
        "answer": json.dumps([test]),
        "prelude": given,
        "gold": f"```python\n{row['prompt']}{row['canonical_solution']}\n```",
    }
