"""REBASE: reward-balanced search."""

import math

from rlsp_cli.rewards import Node, Tree, ranked, search


@search
def rebase(
    tree: Tree, *, width: int = 16, temperature: float = 0.1, depth: int = 25
) -> list[tuple[Node, int]]:
    """Share `width` children among the steps of a level, by exp(score / temperature).

    From the best step to the worst, each gets the ceiling of its share of what is left, as in the
    code of arXiv 2408.00724, which so gives the last ones nothing. A response that ends takes 1 off
    the width. A step without a score gets none while another has one.
    """
    level = tree.levels[-1]
    left = width - len(tree.ended)
    if level == [tree.root]:
        return [(tree.root, width)]
    if level[0].depth >= depth:
        return []

    going = ranked(node for node in level if not node.ended)
    going = [node for node in going if node.score is not None] or going
    highest = max((node.score or 0.0 for node in going), default=0.0)
    weights = [math.exp(((node.score or 0.0) - highest) / temperature) for node in going]

    expansions = []
    for place, node in enumerate(going):
        if left < 1:
            break
        count = math.ceil(left * weights[place] / math.fsum(weights[place:]))
        expansions.append((node, count))
        left -= count
    return expansions
