"""GSM8K: the answer ends the solution, as in "... #### 42"."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def final_number(
    row: dict[str, Any], *, problem: str = "question", solution: str = "answer"
) -> dict[str, Any]:
    """GSM8K's form: the reference follows the last `####` of the column `solution`."""
    steps, mark, number = str(row[solution]).rpartition("####")
    if not mark:
        raise ValueError(f"no #### in {solution}")

    return {
        "problem": row[problem],
        # Without separators, as every verifier reads it.
        "answer": number.replace(",", "").strip(),
        "solution": steps.strip(),
    }
