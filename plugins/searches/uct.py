"""Monte Carlo tree search by upper confidence bounds."""

import math

from rlsp_cli.rewards import Node, Tree, ranked, search


@search
def uct(
    tree: Tree,
    *,
    exploration: float = 1.0,
    children: int = 4,
    iterations: int = 10,
    rollout: bool = True,
) -> list[tuple[Node, int]]:
    """Descend to the child of highest value + exploration * sqrt(ln(parent's visits) / visits), and expand.

    RAP's form (arXiv 2305.14992) has exploration 1, 10 iterations and `search.backup: max` or `mean`;
    rStar-Math's (2501.04519) has exploration 2 and scores the ends alone, which a verifier does. With
    `rollout` an iteration goes on from the best new step until a response has ended. Unlike in both
    papers, branches whose responses have all ended are not visited again.
    """
    best = ranked(tree.latest)[0] if tree.latest else None
    if rollout and best is not None and not best.ended:
        return [(best, children)]

    begun: int = tree.memory.get("iterations", 0)
    if begun >= iterations or tree.root.exhausted:
        return []

    tree.memory["iterations"] = begun + 1
    leaf = tree.descend(lambda parent, child: _bound(parent, child, exploration))
    return [(leaf, children)]


def _bound(parent: Node, node: Node, exploration: float) -> float:
    # RAP's code counts an unvisited child as visited once.
    visits, all_visits = max(1, node.visits), max(1, parent.visits)
    return (node.value or 0.0) + exploration * math.sqrt(math.log(all_visits) / visits)
