"""Traces, chains, pairs and step values out of searches; `linear.py` writes a tree as one chain."""

from rlsp_cli.traces.trees.ends import End, Ends
from rlsp_cli.traces.trees.linear import linear
from rlsp_cli.traces.trees.paths import pairs, paths, values
from rlsp_cli.traces.trees.sampler import (
    Searched,
    TreeSampler,
    Verify,
    count_tree_tokens,
    tree_files,
    tree_sampler,
)

__all__ = [
    "End",
    "Ends",
    "Searched",
    "TreeSampler",
    "Verify",
    "count_tree_tokens",
    "linear",
    "pairs",
    "paths",
    "tree_files",
    "tree_sampler",
    "values",
]
