"""A tree as one chain, which takes wrong branches and comes back from them (ASTRO, arXiv 2507.00417).

The paper's chains are written anew by a language model, from sequences of nodes that go back. Here
the model's own steps stay as they are, and words of going back stand between them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from random import Random
from typing import NamedTuple

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.recipe.search import SearchSteps
from rlsp_cli.rewards.thinking import before_the_end
from rlsp_cli.traces.trees.ends import End, Ends, Steps

RETURNS = "returns"
"""The column that counts a chain's returns."""
_SEPARATORS = {"lines": "\n", "blank_line": "\n\n", "tag": "\n", "sentences": " "}
"""What stands between steps, by `steps.by`."""

GoBack = Callable[[Random, str], str]
"""Words for going back to a step, or to the beginning if that is empty."""


class Branch(NamedTuple):
    """A wrong branch: after how many steps of the right response it leaves it, and its steps."""

    depth: int
    steps: Steps


def linear(
    row: RawTrace, ends: Ends, settings: SearchSteps, most: int, go_back: GoBack
) -> list[RawTrace]:
    """The best right response, with at most `most` wrong branches before the steps that they miss.

    None without a right response. The column `returns` says how many branches there are.
    """
    if not ends.right:
        return []

    goal = ends.right[0]
    branches = sorted(_wrong_branches(ends, goal)[:most], key=lambda branch: branch.depth)
    text = _chain(goal, branches, settings, partial(go_back, Random(row.id)))
    metadata = {**row.metadata, RETURNS: len(branches)}
    return [replace(row, solution=text, metadata=metadata)]


def _wrong_branches(ends: Ends, goal: End) -> list[Branch]:
    """Where no right response goes on, one branch for each next step; the best score comes first."""
    found: dict[Steps, Branch] = {}
    for end in ends.wrong:
        depth = _shared(end.steps, goal.steps)
        first = end.steps[: depth + 1]
        thought = "".join(goal.steps[:depth])

        # An answer is not taken back: the thinking is over by then.
        is_thinking = before_the_end(thought) == thought
        if len(first) > depth and is_thinking and not ends.after(first).right:
            found.setdefault(first, Branch(depth, end.steps[depth:]))
    return list(found.values())


def _shared(steps: Steps, others: Steps) -> int:
    """How many steps at the beginning are the same."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(steps, others, strict=False))))


def _chain(
    goal: End, branches: Sequence[Branch], settings: SearchSteps, go_back: Callable[[str], str]
) -> str:
    separator = _SEPARATORS[settings.by]
    return separator.join(_parts(goal, branches, settings, go_back))


def _parts(
    goal: End, branches: Sequence[Branch], settings: SearchSteps, go_back: Callable[[str], str]
) -> Iterator[str]:
    """What the model wrote in a row, and the words between."""
    done = 0
    for branch in branches:
        yield before_the_end("".join((*goal.steps[done : branch.depth], *branch.steps))).strip()
        done = branch.depth
        words = go_back(_bare(goal.steps[done - 1], settings) if done else "")
        yield f"<{settings.tag}>{words}</{settings.tag}>" if settings.by == "tag" else words
    yield "".join(goal.steps[done:]).strip()


def _bare(step: str, settings: SearchSteps) -> str:
    """A step without its tags."""
    return step.replace(f"<{settings.tag}>", "").replace(f"</{settings.tag}>", "").strip()
