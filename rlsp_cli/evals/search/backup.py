"""What the score of a new node does to the values of the nodes above it."""

from collections.abc import Callable

from rlsp_cli.rewards import Node


def back_up(node: Node, how: str) -> None:
    """Count the score of a new node in its own value and in those of its parents; no score, no change.

    `how` is one of `BACKUPS`.
    """
    if node.score is None:
        return

    # From the node up: a value may be made of those of the children.
    for above in reversed(node.path):
        above.visits += 1
        above.value = BACKUPS[how](above, node.score)


def _mean(node: Node, score: float) -> float:
    """The mean of all scores from here on."""
    before = node.value or 0.0
    return before + (score - before) / node.visits


def _max(node: Node, score: float) -> float:
    """The highest of all scores from here on."""
    return score if node.value is None else max(node.value, score)


def _weighted(node: Node, score: float) -> float:
    """The mean of the children's values by their visits; a leaf has its score (arXiv 2406.03816)."""
    known = [(child.visits, child.value) for child in node.children if child.value is not None]
    if not known:
        return score
    return sum(visits * value for visits, value in known) / sum(visits for visits, _ in known)


BACKUPS: dict[str, Callable[[Node, float], float]] = {
    "mean": _mean,
    "max": _max,
    "weighted": _weighted,
}
"""By name of `search.backup`: a node's new value, after a score from here on that is counted in
its visits."""
