"""Diverse verifier tree search: several greedy searches side by side."""

from rlsp_cli.rewards import Node, Tree, ranked, search


@search
def dvts(tree: Tree, *, subtrees: int = 4, children: int = 4) -> list[tuple[Node, int]]:
    """In each of `subtrees`, follow the best of `children` steps, whatever the others have.

    As beam search in search-and-learn (after arXiv 2408.03314), but no subtree takes the place of
    another. A subtree is over when its best step ends the response.
    """
    if not tree.latest:
        return [(tree.root, subtrees * children)]

    # New nodes come in the order in which they were asked for: a subtree's are together.
    expansions = []
    for first in range(0, len(tree.latest), children):
        best = ranked(tree.latest[first : first + children])[0]
        if not best.ended:
            expansions.append((best, children))
    return expansions
