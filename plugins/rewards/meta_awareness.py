"""Reward a prediction of how the responses to a problem turn out."""

import math
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rlsp_cli.outside import count_of, strict_json
from rlsp_cli.rewards import Sample, exploration_reward, is_right

_WRONG_BY_1 = 0.01
"""What a predicted pass rate earns that is wrong by 1; one that is right earns 1."""


@exploration_reward
def meta_awareness(
    group: Sequence[Sample], *, tag: str = "meta", out_of: int = 8
) -> list[float | None]:
    """How well a response predicts notions, length and pass rate of its group, 0 to 1.

    The prediction is a JSON object in `<meta>...</meta>` with `math_notion` (a list, or names
    between commas), `solution_length` (tokens) and `pass_rate` (right ones `out_of` 8 responses).
    The reward is the mean of three numbers, each 0 where its prediction is missing:

    - the share of notions that more right than wrong responses contain, without those that the
      prompt contains
    - 1 if the length is between those of the shortest and the longest right response, else 0
    - 0.01 ** |predicted - actual pass rate|

    Abstains where the verifier gave the group no value. MASA (2510.03259) as its released code has
    it, except that its predictions are responses of their own, apart from the solutions.
    """
    scored = [sample for sample in group if sample.correct is not None]
    if not scored:
        return [None] * len(group)

    right = [sample for sample in scored if is_right(sample.correct)]
    wrong = [sample for sample in scored if not is_right(sample.correct)]
    right_texts = [_solution(sample.response, tag) for sample in right]
    wrong_texts = [_solution(sample.response, tag) for sample in wrong]
    lengths = [sample.length() for sample in right]

    rewards: list[float | None] = []
    for sample in group:
        predicted = _prediction(sample.response, tag)
        notions = _notions(predicted.get("math_notion"), sample.prompt)
        length, passes = (count_of(predicted.get(key)) for key in ("solution_length", "pass_rate"))

        parts = [
            _share_of_right(notions, right_texts, wrong_texts),
            float(length is not None and bool(lengths) and min(lengths) < length < max(lengths)),
            0.0 if passes is None else _nearness(passes / out_of, len(right) / len(scored)),
        ]
        rewards.append(fmean(parts))
    return rewards


def _prediction(response: str, tag: str) -> dict[str, Any]:
    """The object in the first section of the tag; empty if there is none."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", response, re.DOTALL)
    try:
        predicted = strict_json(found[1]) if found else None
    except ValueError:
        predicted = None
    return predicted if isinstance(predicted, dict) else {}


def _solution(response: str, tag: str) -> str:
    """A response without its prediction, which contains all the notions that it predicts."""
    return re.sub(rf"<{tag}>.*?</{tag}>", " ", response, flags=re.DOTALL).lower()


def _notions(predicted: Any, prompt: str) -> set[str]:
    """The predicted notions in the singular, without those that the prompt has already."""
    names = predicted.strip("[]").split(",") if isinstance(predicted, str) else predicted
    if not isinstance(names, list):
        return set()

    notions = {_singular(str(name).strip().lower()) for name in names}
    return {notion for notion in notions if notion and notion not in prompt.lower()}


def _singular(word: str) -> str:
    """An English noun without the ending of its plural: "identities", "boxes", "cosines"."""
    if word.endswith("ies") and word != "series":
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "zes", "oes")):
        return word[:-2]

    is_plural = word.endswith("s") and not word.endswith("ss") and word != "series"
    return word[:-1] if is_plural else word


def _share_of_right(notions: set[str], right: Sequence[str], wrong: Sequence[str]) -> float:
    """The share of notions that are in more right than wrong texts; 0 without notions."""
    if not notions:
        return 0.0

    of_right = 0
    for notion in notions:
        in_right, in_wrong = (sum(notion in text for text in texts) for texts in (right, wrong))
        of_right += in_right > in_wrong
    return of_right / len(notions)


def _nearness(predicted: float, actual: float) -> float:
    return math.pow(_WRONG_BY_1, abs(predicted - actual))
