"""Particle filtering."""

import math

from rlsp_cli.rewards import Node, Tree, search

_SURE = 1e-6
"""A score nearer to 0 or 1 counts as this far from it: there the logit is infinite."""


@search
def particles(
    tree: Tree, *, particles: int = 8, temperature: float = 1.0
) -> list[tuple[Node, int]]:
    """Carry `particles` partial responses, and before each step draw as many of them anew.

    Drawn with replacement, with the weights softmax(logit(score) / temperature), as in arXiv
    2502.01618. Responses that have ended are drawn from too, and stay as they are; the search is
    over when only such are drawn. A particle without a score counts as one with score 0.
    """
    if not tree.latest:
        return [(tree.root, particles)]

    population: list[Node] = [*tree.memory.get("ended", []), *tree.latest]
    logits = [_logit(node.score or 0.0) / temperature for node in population]
    weights = [math.exp(logit - max(logits)) for logit in logits]
    drawn = tree.random.choices(population, weights, k=particles)

    tree.memory["ended"] = [node for node in drawn if node.ended]
    going = [node for node in drawn if not node.ended]
    return [(node, going.count(node)) for node in dict.fromkeys(going)]


def _logit(score: float) -> float:
    score = min(max(score, _SURE), 1 - _SURE)
    return math.log(score / (1 - score))
