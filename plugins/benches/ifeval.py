"""IFEval: prompts with instructions that a program can check."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def ifeval(row: dict[str, Any]) -> dict[str, Any]:
    """IFEval: `instructions` with the arguments of each, for the verifier ifeval."""
    instructions = []
    for id, given in zip(row["instruction_id_list"], row["kwargs"], strict=True):
        # A table has a column for every argument, and None where an instruction has no such one.
        arguments = {name: value for name, value in given.items() if value is not None}
        instructions.append({"id": id, **arguments})

    named = ", ".join(row["instruction_id_list"])
    return {
        "id": row["key"],
        "problem": row["prompt"],
        "answer": named,
        "instructions": instructions,
    }
