"""IFEval: prompts with instructions whose keeping a program can check."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def ifeval(row: dict[str, Any]) -> dict[str, Any]:
    """`instructions` hold `id` and arguments of each, for the verifier ifeval; the reference only names them."""
    pairs = zip(row["instruction_id_list"], row["kwargs"], strict=True)
    instructions = [
        {"id": id, **{k: v for k, v in given.items() if v is not None}} for id, given in pairs
    ]
    named = ", ".join(row["instruction_id_list"])
    return {
        "id": row["key"],
        "problem": row["prompt"],
        "answer": named,
        "instructions": instructions,
    }
