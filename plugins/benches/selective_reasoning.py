"""Let the model decide for each problem whether to think."""

from typing import Any

from rlsp_cli.rewards import row_shape

TEXT = """\
{problem}

Decide first whether this task needs reasoning. If it does, think step by step between <think> and \
</think>, and then answer. If it does not, answer at once, without <think>."""


@row_shape
def selective_reasoning(
    row: dict[str, Any], *, problem: str = "problem", text: str = TEXT
) -> dict[str, Any]:
    """The problem, and behind it the instruction to decide whether to think before the answer.

    The self-selective reasoning of "When Thinking Fails" (2505.11423); its prompt was not at hand,
    so the words are rlsp's own. Its other variant, a classifier that decides, is a row function of
    your own that changes some of the rows.
    """
    # Not `format`: problems are full of LaTeX's braces.
    return {**row, problem: text.replace("{problem}", str(row[problem]))}
