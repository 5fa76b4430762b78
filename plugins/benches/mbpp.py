"""MBPP: a task in a sentence, and three assertions that name the function."""

import json
from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def mbpp(row: dict[str, Any]) -> dict[str, Any]:
    """MBPP: a task in a sentence, with its assertions; `gold` is the row's own solution."""
    tests = [str(test) for test in row["test_list"]]
    setup = str(row.get("test_setup_code") or "").strip()
    shown = "\n".join(tests)

    # The problem shows the tests, since they alone say what the function is called.
    return {
        "id": row["task_id"],
        "problem": f"{row['text'].strip()}\n\n```python\n{shown}\n```",
        "answer": json.dumps([f"{setup}\n{test}".strip() for test in tests]),
        "gold": f"```python\n{row['code']}\n```",
    }
