"""trees.jsonl: every node and every score as it comes, so that a search goes on where it was killed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from rlsp_cli.rewards import Node
from rlsp_cli.rewards.sample import Score
from rlsp_cli.runs.shapes import ComponentScore
from rlsp_cli.runs.stream import append_rows, read_rows


@dataclass(frozen=True)
class Place:
    """A node of a tree: the problem's id, which of its trees, and the node's number."""

    id: str
    index: int
    node: int

    @property
    def tree(self) -> tuple[str, int]:
        """The tree that it is in."""
        return self.id, self.index


class _Row(BaseModel):
    """A row of the file: of a score, of an end, or of what a model wrote."""

    id: str
    index: int
    node: int
    score: ComponentScore | None = None
    end: str | None = None
    parent: int | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "_Row":
        wrote = self.parent is not None and self.text is not None
        if not (self.score or self.end or wrote):
            raise ValueError("expected score, end, or parent and text")
        return self


_OF_A_NODE = ("text", "token_ids", "num_tokens", "logprob", "ended", "truncated")


@dataclass(frozen=True)
class Step:
    """What a model wrote as one node, and the node that it continues."""

    parent: int
    text: str
    token_ids: tuple[int, ...] = ()
    num_tokens: int = 0
    logprob: float | None = None
    ended: bool = False
    truncated: bool = False

    def node(self, number: int, parent: Node) -> Node:
        """The node, below its parent."""
        node = Node(number, parent, **{name: getattr(self, name) for name in _OF_A_NODE})
        parent.children.append(node)
        return node


class TreeLog:
    """The nodes, scores and ends of trees that a file has, and those that are added to it.

    A row has `id`, `index` and `node`, and either `parent` and what a model wrote, or `score`, or
    `end`: why the search ended there, where `node` is that of the answer, 0 without one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps: dict[Place, Step] = {}
        self.scores: dict[Place, Score] = {}
        self.ends: dict[tuple[str, int], int] = {}
        """The node of the answer, by tree; 0 without one."""
        for row in read_rows(path, _Row):
            self._know(row)

    def add_step(self, place: Place, step: Step) -> None:
        """Keep what a model wrote."""
        self.steps[place] = step
        append_rows(self.path, [{**vars(place), **vars(step)}])

    def add_score(self, place: Place, score: Score) -> None:
        """Keep how a node was scored."""
        self.scores[place] = score
        append_rows(self.path, [{**vars(place), "score": score.to_row()}])

    def add_end(self, place: Place, end: str) -> None:
        """Keep why a search ended, once."""
        if place.tree not in self.ends:
            self.ends[place.tree] = place.node
            append_rows(self.path, [{**vars(place), "end": end}])

    def nodes(self, id: str, index: int) -> dict[int, Node]:
        """The nodes of a tree with their scores, by number, parents before children."""
        nodes = {0: Node(0)}
        steps = {
            place.node: step for place, step in self.steps.items() if place.tree == (id, index)
        }
        for number, step in sorted(steps.items()):
            nodes[number] = step.node(number, nodes[step.parent])
            score = self.scores.get(Place(id, index, number))
            nodes[number].score = score.value if score else None
        return nodes

    def _know(self, row: Mapping[str, Any]) -> None:
        place = Place(row["id"], row["index"], row["node"])
        if "score" in row:
            self.scores[place] = Score.from_row(row["score"])
        elif "end" in row:
            self.ends[place.tree] = place.node
        else:
            known = {name: row[name] for name in Step.__dataclass_fields__ if name in row}
            self.steps[place] = Step(**{**known, "token_ids": tuple(row.get("token_ids", ()))})
