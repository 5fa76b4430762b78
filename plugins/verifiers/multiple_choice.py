"""The chosen letter is the reference's."""

import re

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier


@verifier
def multiple_choice(sample: Sample, *, letters: str = "ABCDEFGHIJ") -> Verdict:
    r"""The letter in the last box, or after the last "answer is", equals the reference: `B`, `(B)`, `\text{B}`, `B. 4`.

    Several letters, or a letter only in free text, are no answer.
    """
    choice = _letter(stated_answer(sample.response) or "", letters)
    return Verdict(choice is not None and choice == _letter(sample.reference or "", letters), choice)


def _letter(answer: str, letters: str) -> str | None:
    """The one letter that stands for itself; what follows `B.` or `B)` is the choice's text."""
    bare = re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s*|[{}$*]", " ", answer)
    head = re.match(rf"\W*([{letters}])\W*(?:[.):]\s.*)?$", bare, re.IGNORECASE | re.DOTALL)
    return head[1].upper() if head else None
