"""Trees of searches as pictures: where each node stands, its score, and whether it was taken.

The root is above; steps that follow it are below.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from rlsp_cli.evals.answer import SEARCH, Scored, read_scored
from rlsp_cli.evals.metrics import of_kind
from rlsp_cli.evals.search import TreeLog
from rlsp_cli.rewards import Node
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.run import Run

_SHOWN = 2
"""Problems of each bench whose trees are drawn."""
_MOST_NODES = 400
"""Nodes of a tree that are drawn, the first ones and those of the path that was taken."""
_MOST_TREES = 8
"""Trees of a report: several models, benches and settings have many."""
_LONGEST_LINE = 160
"""Characters of a step that are shown before it is opened."""
_DEEPEST = 100
"""Steps below which nothing is drawn: browsers limit how deep elements may lie in each other."""

_WIDTH, _HEIGHT = 1120, 420
"""Pixels that leaves and levels share, as far as these bounds of their distances allow."""
_BETWEEN_LEAVES = (8, 40)
_BETWEEN_LEVELS = (24, 64)
_MARGIN = 12


@dataclass(frozen=True)
class DrawnNode:
    """A node at its place, in pixels from the upper left corner.

    `percent` is where its score lies between the tree's lowest and highest, None without a score.
    `taken` says whether the answer contains it. In an outline where children stand below their
    parent, it `opens` a list, or else `closes` this many of those above it.
    """

    node: Node
    x: float
    y: float
    percent: float | None
    taken: bool
    opens: bool
    closes: int

    @property
    def line(self) -> str:
        """The beginning of its text, in one line."""
        words = " ".join(self.node.text[: 2 * _LONGEST_LINE].split())
        return words[:_LONGEST_LINE] or "(no text)"

    @property
    def is_longer(self) -> bool:
        """Whether its text has more than the line shows."""
        return self.node.text.strip() not in ("", self.line)


@dataclass(frozen=True)
class TreePicture:
    """A drawn tree; `answer` is what was made of it, None if the search has not ended.

    `total` counts the nodes, drawn or not.
    """

    model: str
    bench: str
    id: str
    answer: Scored | None
    nodes: Sequence[DrawnNode]
    total: int
    width: float
    height: float

    @property
    def drawn(self) -> int:
        """The steps that are drawn; the root is none."""
        return len(self.nodes) - 1

    @property
    def edges(self) -> Iterator[tuple[DrawnNode, DrawnNode]]:
        """Each parent with each child; those of the path come last, above the others."""
        places = {drawn.node: drawn for drawn in self.nodes}
        for drawn in sorted(self.nodes, key=lambda drawn: drawn.taken):
            if drawn.node.parent:
                yield places[drawn.node.parent], drawn


def tree_pictures(run: Run) -> Iterator[TreePicture]:
    """The trees of the first problems of each model and bench; none without a search."""
    files = sorted(run.paths.stage("eval").root.glob("*/*/trees.jsonl"))
    return islice(chain.from_iterable(map(_of_file, files)), _MOST_TREES)


def _of_file(file: Path) -> Iterator[TreePicture]:
    model, bench = file.parent.parent.name, file.parent.name
    answers = {row.id: row for row in of_kind(_answers(file.parent), SEARCH)}

    log = TreeLog(file)
    trees = dict.fromkeys(place.tree for place in log.steps)
    for id, index in islice(trees, _SHOWN):
        yield tree_picture(log, id, index, model, bench, answers.get(id))


def tree_picture(
    log: TreeLog, id: str, index: int, model: str, bench: str, answer: Scored | None
) -> TreePicture:
    """One tree of a file; the root alone if the file has no such tree."""
    nodes, end = log.nodes(id, index), log.ends.get((id, index))
    path = nodes[end].path if end else []

    drawn = _drawn(nodes[0], _shown(nodes, path), path)
    return TreePicture(model, bench, id, answer, drawn, len(nodes) - 1, *_size(drawn))


def _answers(folder: Path) -> Iterator[Scored]:
    samples = AnswerPaths(folder).samples
    return read_scored(samples) if samples.exists() else iter(())


def _shown(nodes: Mapping[int, Node], path: Sequence[Node]) -> set[Node]:
    """The first nodes, with the path to the answer; a parent comes before its children."""
    first = islice(nodes.values(), _MOST_NODES)
    return {node for node in (*first, *path) if node.depth <= _DEEPEST}


def _drawn(root: Node, shown: set[Node], path: Sequence[Node]) -> list[DrawnNode]:
    """The nodes from above to below, each before its children."""
    order = _in_order(root, shown)
    places = _places(order, shown)
    scores = [node.score for node in order if node.score is not None]

    depths = [node.depth for node in order]
    leaf = _distance(_WIDTH, max(places.values()), _BETWEEN_LEAVES)
    level = _distance(_HEIGHT, max(depths), _BETWEEN_LEVELS)
    after = [*depths[1:], 1]  # the list of the first steps ends by itself
    return [
        DrawnNode(
            node=node,
            x=_MARGIN + places[node] * leaf,
            y=_MARGIN + depth * level,
            percent=_percent(node.score, scores),
            taken=node in path,
            opens=below > depth,
            closes=max(0, depth - below),
        )
        for node, depth, below in zip(order, depths, after, strict=True)
    ]


def _in_order(root: Node, shown: set[Node]) -> list[Node]:
    """Depth first, without recursion: a response may have many steps."""
    order, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += [child for child in reversed(node.children) if child in shown]
    return order


def _places(order: Sequence[Node], shown: set[Node]) -> dict[Node, float]:
    """Leaves stand side by side, and a parent above the middle of its children."""
    below = {node: [child for child in node.children if child in shown] for node in order}
    leaves = [node for node in order if not below[node]]
    places = {leaf: float(number) for number, leaf in enumerate(leaves)}

    for node in reversed(order):
        if children := below[node]:
            places[node] = (places[children[0]] + places[children[-1]]) / 2
    return places


def _distance(whole: float, parts: float, bounds: tuple[float, float]) -> float:
    least, most = bounds
    return min(max(whole / max(parts, 1), least), most)


def _percent(score: float | None, scores: Sequence[float]) -> float | None:
    """Between 0 and 1 where all scores are, else between the lowest and the highest of them."""
    if score is None:
        return None
    low, high = min(scores), max(scores)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return round(100 * (score - low) / (high - low), 1) if high > low else 50.0


def _size(drawn: Sequence[DrawnNode]) -> tuple[float, float]:
    return max(one.x for one in drawn) + _MARGIN, max(one.y for one in drawn) + _MARGIN
