"""A tree of partial responses to one prompt, as search policies see it. They only read it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any


@dataclass(eq=False)
class Node:
    """A step of a response, after those of its parents.

    `text` is the step and `token_ids` its tokens, empty if not known; `logprob` is the sum of the
    tokens' log-probabilities (nats), None if not known. `ended` is True when the response ends
    here, `truncated` when only the limit of tokens ended it. `score` is the scorer's of the steps
    up to here, None without one. `visits` counts the scores that were backed up to here, and
    `value` is what they come to, by `search.backup`.
    """

    id: int
    parent: "Node | None" = field(default=None, repr=False)
    text: str = ""
    token_ids: tuple[int, ...] = ()
    num_tokens: int = 0
    logprob: float | None = None
    ended: bool = False
    truncated: bool = False
    score: float | None = None
    visits: int = 0
    value: float | None = None
    children: list["Node"] = field(default_factory=list, repr=False)

    @property
    def path(self) -> list["Node"]:
        """The nodes from the root to this one, both included."""
        nodes = [self]
        while parent := nodes[-1].parent:
            nodes.append(parent)
        return nodes[::-1]

    @property
    def depth(self) -> int:
        """Steps so far; 0 for the root."""
        return len(self.path) - 1

    @property
    def steps(self) -> list[str]:
        """The texts of the steps so far."""
        return [node.text for node in self.path[1:]]

    @property
    def response(self) -> str:
        """The response so far."""
        return "".join(node.text for node in self.path)

    @property
    def exhausted(self) -> bool:
        """Whether every branch from here has ended."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if not node.children and not node.ended:
                return False
            waiting += node.children
        return True


@dataclass(eq=False)
class Tree:
    """What has been sampled for a prompt so far.

    `latest` are the nodes of the last round. `memory` is for what a policy wants to find again at
    its next call, and `random` for what it draws: a resumed search calls it again from the
    beginning, and must get the same from it. `tokens` counts what all models wrote, and what those
    beside the policy's model read; `budget` is where the search ends.
    """

    prompt: str
    id: str = ""
    budget: int = 0
    random: Random = field(default_factory=lambda: Random(0))
    nodes: list[Node] = field(default_factory=lambda: [Node(0)])
    latest: list[Node] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0

    @property
    def root(self) -> Node:
        """The empty response."""
        return self.nodes[0]

    @property
    def ended(self) -> list[Node]:
        """The ends of whole responses."""
        return [node for node in self.nodes if node.ended]

    @property
    def open(self) -> list[Node]:
        """Nodes without children that can be expanded."""
        return [node for node in self.nodes if not node.ended and not node.children]

    def descend(self, bound: Callable[[Node, Node], float]) -> Node:
        """The leaf below the root by always taking the child with the highest bound.

        `bound` is of a parent and its child. Children whose branches have all ended are left out;
        the root must not be exhausted.
        """
        node = self.root
        while node.children:
            parent, going = node, [child for child in node.children if not child.exhausted]
            node = max(going, key=lambda child: bound(parent, child))
        return node

    @property
    def levels(self) -> list[list[Node]]:
        """The nodes by depth, the root's level first."""
        levels = [[self.root]]
        while below := [child for node in levels[-1] for child in node.children]:
            levels.append(below)
        return levels


def ranked(nodes: Iterable[Node]) -> list[Node]:
    """Nodes by falling score, equal ones in their order; those without a score come last."""
    return sorted(nodes, key=lambda node: (node.score is None, -(node.score or 0.0), node.id))
