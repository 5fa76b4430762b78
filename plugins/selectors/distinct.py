"""Keep one of each different response to a prompt."""

from collections.abc import Sequence
from typing import Literal

from rlsp_cli.rewards import Sample, selector


@selector
def distinct(
    group: Sequence[Sample], *, of: Literal["response", "answer"] = "response"
) -> list[bool]:
    """Keep the first of equal responses, or of responses with equal answers.

    Texts are compared without case and white space. With `of: answer`, responses without an answer
    are dropped.
    """
    seen: set[str] = set()
    kept = []
    for sample in group:
        text = sample.response if of == "response" else sample.answer or ""
        key = "".join(text.lower().split())

        is_answered = of == "response" or sample.answer is not None
        kept.append(is_answered and key not in seen)
        seen.add(key)
    return kept
