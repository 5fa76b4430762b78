"""A probe: the problem in parts, each asked with the answers of those before it."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def subquestions(
    row: dict[str, Any],
    *,
    problem: str = "problem",
    answer: str = "answer",
    questions: str = "subquestions",
    answers: str = "subanswers",
) -> list[dict[str, Any]]:
    """A problem for each subquestion, from two columns with lists of equal length.

    It shows the whole problem, and earlier subquestions with their right answers. The probe of
    "Beyond Accuracy" (SPARKLE) for decomposition; whether the authors show right answers or the
    model's own was not at hand.
    """
    parts = list(zip(row[questions], row[answers], strict=True))

    made = []
    for number, (question, right) in enumerate(parts):
        known = [f"{asked}\n{found}" for asked, found in parts[:number]]
        text = "\n\n".join([str(row[problem]), *known, f"Answer only this: {question}"])
        made.append({**row, problem: text, answer: str(right)})
    return made
