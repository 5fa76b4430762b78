"""GSM8K's answers end their solution: "... #### 42"."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def final_number(
    row: dict[str, Any], *, problem: str = "question", solution: str = "answer"
) -> dict[str, Any]:
    """The reference is what follows the last `####` of the column `solution`, without commas between digits."""
    steps, mark, number = str(row[solution]).rpartition("####")
    if not mark:
        raise ValueError(f"no #### in {solution}")
    return {
        "problem": row[problem],
        "answer": number.replace(",", "").strip(),
        "solution": steps.strip(),
    }
