"""A verifier: the right two numbers, in either order."""

import re

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier


@verifier
def either_order(sample: Sample) -> Verdict | None:
    """The stated answer has the numbers of the reference: `7 + 3` for `3 + 7`."""
    wanted = _numbers(sample.reference)
    if not wanted:
        return None  # nothing to compare with: abstain

    answer = stated_answer(sample.response)
    return Verdict(_numbers(answer) == wanted, answer)


def _numbers(text: str | None) -> list[int]:
    return sorted(map(int, re.findall(r"\d+", text or "")))
