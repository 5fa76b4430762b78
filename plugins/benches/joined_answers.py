"""OlympiadBench's references are lists, most of one answer."""

import ast
from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def joined_answers(
    row: dict[str, Any], *, problem: str = "question", answers: str = "final_answer"
) -> dict[str, Any]:
    """The reference is the list in the column `answers`, joined by commas; a list written as text is read as one."""
    given = row[answers]
    listed = ast.literal_eval(given) if isinstance(given, str) else given
    shaped = {
        "problem": row[problem],
        "answer": ", ".join(str(answer).strip().strip("$") for answer in listed),
    }
    return {**shaped, **({"id": row["id"]} if "id" in row else {})}
