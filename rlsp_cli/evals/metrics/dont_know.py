"""Responses that say "I don't know"."""

import re

from rlsp_cli.evals.answer import Scored
from rlsp_cli.rewards.thinking import without_thinking

_SAYS_IT = re.compile(
    r"\b(?:i|we)\s+(?:(?:really|honestly|simply|just)\s+)?(?:don't|do\s+not|dont)\s+know"
    r"(?:\s+the\s+(?:(?:right|correct|final|exact)\s+)?answer)?\s*(?:[.,;!:})*\n]|$)",
    re.IGNORECASE,
)
"""The words at the end of a clause: "I don't know why" is about something else."""


def says_dont_know(row: Scored) -> bool:
    """Whether the answer of a response is "I don't know", "I do not know the answer" and so on.

    Without an answer, all that follows the thinking is read.
    """
    text = row.extracted if row.extracted is not None else without_thinking(row.response)
    return _SAYS_IT.search(text.replace("\u2019", "'")) is not None
