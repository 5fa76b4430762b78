"""Reward knowing how hard a problem is, and effort that fits."""

import re
from collections.abc import Sequence
from statistics import median

from rlsp_cli.rewards import Sample, exploration_reward, is_right

_FITS, _STATED, _LENGTH = 0.20, 0.12, 0.06
"""What a label that fits, a label at all, and a length that fits earn in the released code."""


@exploration_reward
def boundary_awareness(
    group: Sequence[Sample],
    *,
    easy: str = "CFRB",
    hard: str = "PFRB",
    easy_from: float = 0.95,
    hard_below: float = 0.9,
) -> list[float | None]:
    """A stated difficulty that fits the group's accuracy, and a length that fits the difficulty.

    The label is the first word `easy` or `hard` before `</think>`. The problem is easy if the
    accuracy of the group is at least `easy_from`. A label earns 0.12, unless a wrong response calls
    the problem easy; one that fits earns 0.20 more. In groups from `easy_from` on, right responses
    of at most median length earn 0.06; in those below `hard_below`, wrong ones of at least median
    length do. The median is that of the right responses, or of all if none is right. Abstains where
    the verifier gave no value. DR. SAF (2508.11582) as its released code has it; the paper may
    differ.
    """
    scored = [sample for sample in group if sample.correct is not None]
    if not scored:
        return [None] * len(group)

    right = [sample for sample in scored if is_right(sample.correct)]
    accuracy = len(right) / len(scored)
    middle = median(sample.length() for sample in right or scored)

    rewards: list[float | None] = []
    for sample in group:
        if sample.correct is None:
            rewards.append(None)
            continue

        label = _label(sample.response, easy, hard)
        reward = _FITS if label == (easy if accuracy >= easy_from else hard) else 0.0
        if label == hard or (label == easy and is_right(sample.correct)):
            reward += _STATED

        pays_short = accuracy >= easy_from and is_right(sample.correct)
        pays_long = accuracy < hard_below and not is_right(sample.correct)
        if (pays_short and sample.length() <= middle) or (pays_long and sample.length() >= middle):
            reward += _LENGTH
        rewards.append(reward)
    return rewards


def _label(response: str, easy: str, hard: str) -> str | None:
    """The difficulty that a response states in its thinking, or anywhere if it has none."""
    before = response.partition("</think>")[0]
    found = re.search(rf"\b({re.escape(easy)}|{re.escape(hard)})\b", before)
    return found[0] if found else None
