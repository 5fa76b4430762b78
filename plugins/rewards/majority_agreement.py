"""Reward agreement with the group, where no reference is known."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rlsp_cli.rewards import Sample, exploration_reward, is_right
from rlsp_cli.rewards.registry import get_plugin


@exploration_reward
def majority_agreement(
    group: Sequence[Sample],
    *,
    vote: bool = False,
    verifier: str | None = "math_verify",
    least: float = 0.0,
    most: float = 1.0,
) -> list[float | None]:
    """Share of the group with the same answer; with `vote`, 1 for the most frequent one, else 0.

    Two answers are the same if they are equal as text without white space, or if `verifier`, built
    in or installed, accepts a response with the other's answer as the reference. A missing answer
    agrees with no other. The whole group abstains if the share of its most frequent answer is not
    from `least` to `most`. EMPO (2504.05812) as its released code has it; the upper limit is ours,
    and below its lower one, 0.2 for answers in words, EMPO gives 0 instead.
    """
    answers = _same_answers(group, verifier)
    sizes = Counter(answer for answer in answers if answer is not None)
    largest = max(sizes.values(), default=0)
    if not least <= max(largest, 1) / len(group) <= most:
        return [None] * len(group)

    if vote:
        return [float(answer is not None and sizes[answer] == largest) for answer in answers]
    return [(sizes[answer] if answer is not None else 1) / len(group) for answer in answers]


def _same_answers(group: Sequence[Sample], verifier: str | None) -> list[str | None]:
    """The answer of each sample; of answers that are the same, the first."""
    judge = get_plugin("verifier", verifier).function if verifier else _refuse
    first: dict[str, str] = {}

    answers: list[str | None] = []
    for sample in group:
        if not sample.answer:
            answers.append(None)
            continue

        text = "".join(sample.answer.split())
        if text not in first:
            others = dict.fromkeys(first.values())
            equal = (other for other in others if _accepts(judge, sample, other))
            first[text] = next(equal, sample.answer)
        answers.append(first[text])
    return answers


def _accepts(judge: Callable[[Sample], Any], sample: Sample, answer: str) -> bool:
    """Whether the sample is right if this answer is the reference."""
    verdict = judge(replace(sample, reference=answer))
    return is_right(getattr(verdict, "correct", verdict))


def _refuse(_sample: Sample) -> bool:
    """A verifier that accepts nothing, so that answers are compared as text alone."""
    return False
