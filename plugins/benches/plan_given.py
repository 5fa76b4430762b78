"""A probe: the problem with a plan of its solution."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def plan_given(
    row: dict[str, Any],
    *,
    problem: str = "problem",
    plan: str = "plan",
    text: str = "{problem}\n\nFollow this plan:\n{plan}",
) -> dict[str, Any]:
    """The column `plan`, a text or a list of steps, behind the problem.

    The probe of "Beyond Accuracy" (SPARKLE) for planning; its prompts were not at hand, so the
    words are rlsp's own.
    """
    steps = row[plan]
    if isinstance(steps, list):
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))

    # Not `format`: problems are full of LaTeX's braces.
    asked = text.replace("{plan}", str(steps)).replace("{problem}", str(row[problem]))
    return {**row, problem: asked}
