"""Monte Carlo tree search with a prior."""

import math
from typing import Literal

from rlsp_cli.rewards import Node, Tree, search


@search
def puct(
    tree: Tree,
    *,
    form: Literal["alphamath", "omegaprm"] = "alphamath",
    exploration: float = 1.25,
    children: int = 5,
    iterations: int = 40,
    alpha: float = 0.5,
    beta: float = 0.9,
    length: int = 500,
) -> list[tuple[Node, int]]:
    """Expand where value and uncertainty together are highest.

    `alphamath` (arXiv 2405.03553) descends by value + exploration * prior * sqrt(parent's visits) /
    (1 + visits), where the prior is the geometric mean of the probabilities of the step's tokens
    (1 where they are not known). `omegaprm` (2406.06592) takes the unexpanded step of highest
    alpha^(1 - value) * beta^(words / length) + exploration * sqrt(sum of visits) / (1 + visits); its
    exploration is 0.125, and the length of 500 words is from memory. Branches whose responses have
    all ended are not visited again.
    """
    begun: int = tree.memory.get("iterations", 0)
    if begun >= iterations or tree.root.exhausted:
        return []
    tree.memory["iterations"] = begun + 1

    if form == "omegaprm":
        total = sum(node.visits for node in tree.open)
        worth = {node: _worth(node, alpha, beta, length) for node in tree.open}
        bound = {node: worth[node] + exploration * _spread(total, node) for node in tree.open}
        return [(max(tree.open, key=bound.__getitem__), children)]

    leaf = tree.descend(lambda parent, child: _bound(parent, child, exploration))
    return [(leaf, children)]


def _bound(parent: Node, node: Node, exploration: float) -> float:
    return (node.value or 0.0) + exploration * _prior(node) * _spread(parent.visits, node)


def _spread(visits: int, node: Node) -> float:
    return math.sqrt(visits) / (1 + node.visits)


def _prior(node: Node) -> float:
    if node.logprob is None or not node.num_tokens:
        return 1.0
    return math.exp(node.logprob / node.num_tokens)


def _worth(node: Node, alpha: float, beta: float, length: int) -> float:
    words = len(node.response.split())
    return float(alpha ** (1 - (node.value or 0.0)) * beta ** (words / length))
