"""The tree search of ReST-MCTS*."""

import math

from rlsp_cli.rewards import Node, Tree, search


@search
def rest_mcts(
    tree: Tree,
    *,
    exploration: float = 0.7,
    children: int = 3,
    iterations: int = 50,
    enough: float = 0.9,
) -> list[tuple[Node, int]]:
    """Descend by value + exploration * sqrt(2 ln(parent's visits) / visits), and expand the leaf.

    The numbers and the end, a response whose score is at least `enough`, are those of the code of
    arXiv 2406.03816; its values are weighed by visits, `search.backup: weighted`. Its greedy
    rollouts, half of a leaf's value there, are left out: the scorer alone values a step. Branches
    whose responses have all ended are not visited again.
    """
    begun: int = tree.memory.get("iterations", 0)
    found = any((node.score or 0.0) >= enough for node in tree.ended)
    if found or begun >= iterations or tree.root.exhausted:
        return []

    tree.memory["iterations"] = begun + 1
    leaf = tree.descend(lambda parent, child: _bound(parent, child, exploration))
    return [(leaf, children)]


def _bound(parent: Node, node: Node, exploration: float) -> float:
    # What nobody has visited yet, because it has no score, comes first.
    if not node.visits:
        return math.inf
    return (node.value or 0.0) + exploration * math.sqrt(2 * math.log(parent.visits) / node.visits)
