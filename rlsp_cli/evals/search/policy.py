"""A search policy with its options, and what it may not ask for.

A policy runs in this process and not in a worker: it reads a tree that grows with each call, which
a worker would have to be sent whole, and it is asked between two waits for a model, so that no other
work waits for it. An endless loop in it is ended by Ctrl-C.
"""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards import Node, Tree
from rlsp_cli.rewards.registry import get_plugin

Expansion = tuple[Node, int]
"""A node, and how many children it gets now."""

_SHOWN = 60
"""Characters of a wrong result that its error shows."""


class Policy:
    """The search plugin of a name; PluginError if there is none."""

    def __init__(
        self, reference: str, options: Mapping[str, Any], files: Sequence[str] = ()
    ) -> None:
        self.plugin, self.options = get_plugin("search", reference, files), dict(options)

    def next(self, tree: Tree) -> list[Expansion]:
        """What it wants expanded now; PluginError if it fails, or asks for what cannot be."""
        try:
            wanted = self.plugin.function(tree, **self.options)
        except Exception as error:  # whatever a plugin raises is its author's to mend
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            raise self._error(tree, f"{type(error).__name__}: {error} ({place})") from error

        if not isinstance(wanted, list):
            raise self._error(tree, f"returned {_shown(wanted)}, expected a list of (node, count)")
        for one in wanted:
            if fault := _fault(one, tree):
                raise self._error(tree, fault)

        asked = sum(count for _, count in wanted)
        if asked > tree.budget > tree.tokens:
            raise self._error(
                tree, f"asks for {asked} children at once, and the budget is {tree.budget} tokens"
            )
        return wanted

    def _error(self, tree: Tree, fault: str) -> PluginError:
        # A message of the plugin's may have several lines.
        return PluginError(
            f"search {self.plugin.name}, problem {tree.id!r}: {' '.join(fault.split())}"
        )


def _fault(wanted: Any, tree: Tree) -> str | None:
    """Why an expansion cannot be made; None if it can."""
    if not (isinstance(wanted, tuple) and len(wanted) == 2 and isinstance(wanted[0], Node)):
        return f"returned {_shown(wanted)} in its list, expected (node, count)"

    node, count = wanted
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        return (
            f"asks for {_shown(count)} children of node {node.id}, expected a whole number from 1"
        )
    if node.id >= len(tree.nodes) or tree.nodes[node.id] is not node:
        return f"returned a node {node.id} that is not of this tree; take nodes from tree.nodes"
    if node.ended:
        return f"expands node {node.id}, which has ended; leave out nodes with ended=True"
    return None


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN]
