"""ProcBench: procedures with the state after each of their steps."""

import json
from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def procbench(row: dict[str, Any]) -> dict[str, Any]:
    """ProcBench: its states as a list in JSON, the final one last, for the verifier procbench."""
    label = row["label"]
    states = [*label["intermediate"], label["final"]]
    return {"id": row["problem_name"], "problem": row["prompt"], "answer": json.dumps(states)}
