"""Behaviours of a handbook that fit the problem, put before it."""

from pathlib import Path
from typing import Any

from rlsp_cli.data.handbook import fitting_behaviours
from rlsp_cli.rewards import row_shape


@row_shape
def behavior_handbook(
    row: dict[str, Any],
    *,
    handbook: str = "./handbook.yaml",
    k: int = 5,
    problem: str = "problem",
    text: str = "These behaviours may help:\n{behaviours}\n\n{problem}",
) -> dict[str, Any]:
    """The `k` behaviours of the file `handbook` that are nearest to the problem, before it.

    Nearness is BM25 over words, so a problem that shares no word with the handbook stays as it is.
    Metacognitive Reuse retrieves by embeddings or topic; its prompts were not at hand, so the words
    are rlsp's own. `rlsp data handbook` draws a handbook from traces.
    """
    found = fitting_behaviours(Path(handbook), str(row[problem]), k)
    if not found:
        return row

    # Not `format`: problems are full of LaTeX's braces.
    listed = "\n".join(f"- {one.name}: {one.instruction}" for one in found)
    asked = text.replace("{behaviours}", listed).replace("{problem}", str(row[problem]))
    return {**row, problem: asked}
