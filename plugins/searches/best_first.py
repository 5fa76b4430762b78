"""Best-first search."""

from rlsp_cli.rewards import Node, Tree, ranked, search


@search
def best_first(tree: Tree, *, children: int = 4, answers: int = 1) -> list[tuple[Node, int]]:
    """Expand the best partial response of the whole tree, until `answers` responses have ended.

    The frontier is ordered by score alone, so that the search may return to an earlier branch (as
    in arXiv 2407.01476).
    """
    if len(tree.ended) >= answers or not tree.open:
        return []
    return [(ranked(tree.open)[0], children)]
