"""OlympiadBench: a list of answers for a reference, most often of one."""

import ast
from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def joined_answers(
    row: dict[str, Any], *, problem: str = "question", answers: str = "final_answer"
) -> dict[str, Any]:
    """OlympiadBench's form: a list of answers in the column `answers`, joined by commas."""
    given = row[answers]

    # CSV has only texts, so a list may come as one.
    listed = ast.literal_eval(given) if isinstance(given, str) else given
    shaped = {
        "problem": row[problem],
        "answer": ", ".join(str(answer).strip().strip("$") for answer in listed),
    }
    if "id" in row:
        shaped["id"] = row["id"]
    return shaped
