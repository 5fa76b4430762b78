"""The tree of a search as plain data, drawn as the report draws it."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.search import TreeLog
from rlsp_cli.report.trees import DrawnNode, tree_picture
from rlsp_cli.view.row_file import RowFile


def drawn_tree(file: RowFile, number: int) -> dict[str, Any]:
    """The tree that a row is the answer of; LookupError if there is no such row."""
    rows = [Scored.from_json(row) for row in file.rows(number, number + 1)]
    if not rows or not file.trees.exists():
        raise LookupError(f"{file.path}: no tree of row {number}")

    (row,), folder = rows, file.path.parent
    log = _log(file.trees, file.trees.stat().st_size)
    picture = tree_picture(log, row.id, row.index, folder.parent.name, folder.name, row)

    places = {drawn.node: number for number, drawn in enumerate(picture.nodes)}
    return {
        "total": picture.total,
        "width": picture.width,
        "height": picture.height,
        "nodes": [_plain(drawn) for drawn in picture.nodes],
        "edges": [[places[parent.node], places[child.node]] for parent, child in picture.edges],
    }


@lru_cache(maxsize=1)
def _log(path: Path, size: int) -> TreeLog:
    """The trees of a file while it has this size: a search that goes on appends to it."""
    return TreeLog(path)


def _plain(drawn: DrawnNode) -> dict[str, Any]:
    node = drawn.node
    return {
        "x": drawn.x,
        "y": drawn.y,
        "percent": drawn.percent,
        "taken": drawn.taken,
        "depth": node.depth,
        "score": node.score,
        "text": node.text,
        "ended": node.ended,
        "truncated": node.truncated,
    }
