"""Reward agreement with the group, where no reference is known."""

from collections import Counter
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def majority_agreement(group: Sequence[Sample], *, vote: bool = False) -> list[float]:
    """Share of the group with the same answer; with `vote`, 1 for the most frequent one, else 0.

    Answers are the verifier's, compared as text without white space; a missing one agrees with no
    other. After EMPO.
    """
    answers = ["".join(sample.answer.split()) if sample.answer else None for sample in group]
    sizes = Counter(answer for answer in answers if answer is not None)
    most = max(sizes.values(), default=0)
    if vote:
        return [float(answer is not None and sizes[answer] == most) for answer in answers]

    return [(sizes[answer] if answer is not None else 1) / len(group) for answer in answers]
