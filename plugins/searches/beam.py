"""Beam search over steps."""

from rlsp_cli.rewards import Node, Tree, ranked, search


@search
def beam(tree: Tree, *, beams: int = 4, children: int = 4) -> list[tuple[Node, int]]:
    """Keep the `beams` best steps of each level, and give each `children`.

    A beam that ends leaves, and one fewer is kept from then on (AlphaMath, arXiv 2405.03553, whose
    code has 1 beam of 5 children; without the leaving: arXiv 2408.03314). The first level has as
    many steps as the later ones.
    """
    kept, left = [tree.root], beams
    for level in tree.levels[1:]:
        kept = [node for node in ranked(level)[:left] if not node.ended]
        left = len(kept)

    if kept == [tree.root]:
        return [(tree.root, beams * children)]
    return [(node, children) for node in kept]
