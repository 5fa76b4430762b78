"""What no recipe needs of YAML, found before it is loaded: depth, tags, multiplying aliases."""

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

Finding = tuple[int, int, str]
"""Line and column, from 0, and what is wrong there."""
UNREADABLE = (ValueError, LookupError, ArithmeticError)
"""What ruamel raises for a value that looks like a number or a date, and is none."""
_DEEPEST = 40
"""Levels of mappings and lists in each other."""
_MOST = 200_000
"""Values of a file, with each alias counted as all that it stands for."""
_BRACKETS = 1000
"""Open brackets in the text, even in quotes: ruamel's time grows with their square."""


def excesses(text: str) -> Iterator[Finding]:
    """What is too much or out of place in YAML text; YAMLError if it is not YAML."""
    yield from _brackets(text)
    sizes = _Sizes()
    for event in YAML(typ="rt", pure=True).parse(text):
        for what in (*_oddities(event), *sizes.grown_by(event)):
            yield event.start_mark.line, event.start_mark.column, what


def unreadable(text: str) -> Iterator[Finding]:
    """Values that look like a number or a date, and are none."""
    for event in YAML(typ="rt", pure=True).parse(text):
        if isinstance(event, ScalarEvent) and event.implicit[0]:
            # Each on its own, since ruamel does not say which of them it failed at.
            try:
                YAML(typ="rt", pure=True).load(event.value)
            except UNREADABLE as error:
                yield event.start_mark.line, event.start_mark.column, f"not valid YAML: {error}"


class _Sizes:
    """How many values there are, and how many each anchor stands for."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        # The collections around, each with its anchor and the values in it so far.
        self._open: list[tuple[str | None, int]] = [(None, 0)]

    def grown_by(self, event: Any) -> Iterator[str]:
        """Count an event; yields what is too much after it."""
        if isinstance(event, CollectionStartEvent):
            self._open.append((event.anchor, 1))
        elif isinstance(event, CollectionEndEvent):
            self._add(*self._open.pop())
        elif isinstance(event, ScalarEvent):
            self._add(event.anchor, 1)
        elif isinstance(event, AliasEvent):
            if any(event.anchor == around for around, _ in self._open):
                yield f"*{event.anchor} stands for something that it is part of"
            self._add(None, self._known.get(str(event.anchor), 1))

        if len(self._open) > _DEEPEST:
            yield f"nested deeper than {_DEEPEST} levels"
        if self._open[-1][1] > _MOST:
            yield f"more than {_MOST:,} values, aliases counted as what they stand for"

    def _add(self, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._known[anchor] = size
        around, before = self._open[-1]
        self._open[-1] = (around, before + size)


def _oddities(event: Any) -> Iterator[str]:
    if getattr(event, "ctag", None) is not None:
        tag = str(event.ctag).replace("tag:yaml.org,2002:", "!!")
        yield f"a recipe takes no tags, found {tag}; write the value without it"
    if isinstance(event, ScalarEvent) and (half := re.search("[\ud800-\udfff]", event.value)):
        yield f"{half[0]!r} is half of a character"


def _brackets(text: str) -> Iterator[Finding]:
    depth = 0
    for found in re.finditer(r"[\[{\]}]", text):
        depth = depth + 1 if found[0] in "[{" else max(depth - 1, 0)
        if depth > _BRACKETS:
            line = text.count("\n", 0, found.start())
            column = found.start() - text.rfind("\n", 0, found.start()) - 1
            yield line, column, f"more than {_BRACKETS} open brackets"
