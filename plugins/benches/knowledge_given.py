"""A probe: the problem with the facts that its solution needs."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def knowledge_given(
    row: dict[str, Any],
    *,
    problem: str = "problem",
    knowledge: str = "knowledge",
    text: str = "{problem}\n\nThis may help:\n{knowledge}",
) -> dict[str, Any]:
    """The column `knowledge`, a text or a list of facts, behind the problem.

    The probe of "Beyond Accuracy" (SPARKLE) for knowledge; its prompts were not at hand, so the
    words are rlsp's own.
    """
    facts = row[knowledge]
    if isinstance(facts, list):
        facts = "\n".join(f"- {fact}" for fact in facts)

    # Not `format`: problems are full of LaTeX's braces.
    asked = text.replace("{knowledge}", str(facts)).replace("{problem}", str(row[problem]))
    return {**row, problem: asked}
