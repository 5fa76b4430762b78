"""Which of the responses that a tree ended with is the answer."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from rlsp_cli.rewards import Node, found_answer, ranked
from rlsp_cli.rewards.answers import normalised


def _best(leaves: Sequence[Node]) -> Node:
    """The response with the highest score."""
    return ranked(leaves)[0]


def _weighted_vote(leaves: Sequence[Node]) -> Node:
    """The best response of the answer with the greatest sum of scores (arXiv 2206.02336).

    Answers are the same if their normalised texts are. Scores below 0 have no weight; without any
    score each response counts as one.
    """
    is_scored = any(leaf.score is not None for leaf in leaves)
    answers: dict[str, list[Node]] = defaultdict(list)
    for leaf in ranked(leaves):
        answer = found_answer(leaf.response)
        if answer is not None:
            answers[normalised(answer)].append(leaf)

    def total(same: Sequence[Node]) -> float:
        return math.fsum(max(leaf.score or 0.0, 0.0) if is_scored else 1.0 for leaf in same)

    # Of two sums that are equal, the first is that of the better response.
    return max(answers.values(), key=total)[0] if answers else _best(leaves)


CHOICES: dict[str, Callable[[Sequence[Node]], Node]] = {
    "best": _best,
    "weighted_vote": _weighted_vote,
}
"""By name of `search.choose`: one of at least one whole response."""
