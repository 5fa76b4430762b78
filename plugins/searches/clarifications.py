"""The tree of AgenticLU: clarifications of a question, level by level."""

from rlsp_cli.rewards import Node, Tree, search


@search
def clarifications(
    tree: Tree, *, children: int = 8, depth: int = 3, enough: float = 1.0
) -> list[tuple[Node, int]]:
    """Give every step `children`, down to `depth`, until a response scores at least `enough`.

    The tree of arXiv 2502.15920 over clarifications that the model asks itself and answers from the
    text, one a step; its prompts are yours to write, and a step is what `search.steps` says.
    """
    if any((node.score or 0.0) >= enough for node in tree.ended):
        return []
    return [(node, children) for node in tree.open if node.depth < depth]
