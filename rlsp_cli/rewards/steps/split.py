"""Split a response into steps, each a span of its characters."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_WORD = re.compile(r"\w")


class Step(NamedTuple):
    """A step as the characters from `start` to `end` of a response, and their text."""

    start: int
    end: int
    text: str


def split_steps(response: str, by: str = "lines", tag: str = "step") -> list[Step]:
    """The steps of a response, in order; what holds no letter or digit is no step.

    `by` is one of `SPLITTERS`; `tag` is the name of the tags of `by: tag`. ValueError for another
    `by`.
    """
    if by not in SPLITTERS:
        raise ValueError(f"steps.by is {by!r}, expected one of {', '.join(SPLITTERS)}")
    spans = SPLITTERS[by](response, tag)

    steps = []
    for first, end in spans:
        part = response[first:end]
        start = first + len(part) - len(part.lstrip())
        text = part.strip()
        if _WORD.search(text):
            steps.append(Step(start, start + len(text), text))
    return steps


def find_steps(texts: Sequence[str], response: str) -> list[Step]:
    """Each text where it stands in the response, after the one before it; else ValueError."""
    steps, end = [], 0
    for number, text in enumerate(texts):
        start = response.find(text, end)
        if start < 0:
            raise ValueError(f"step {number} is not in the response after those before it")
        end = start + len(text)
        steps.append(Step(start, end, text))
    return steps


def _between(separator: re.Pattern[str], response: str) -> Iterator[tuple[int, int]]:
    """What stands between separators."""
    start = 0
    for match in separator.finditer(response):
        yield start, match.start()
        start = match.end()
    yield start, len(response)


def _from_each(head: re.Pattern[str], response: str) -> Iterator[tuple[int, int]]:
    """What begins at each head; the text before the first belongs to the first."""
    starts = [match.start() for match in head.finditer(response)]
    yield from zip([0, *starts[1:]], [*starts[1:], len(response)], strict=True)


_LINE = re.compile(r"\n")
_BLANK_LINE = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"[\n;]+|(?<=[.!?])\s+")
_NUMBER = re.compile(r"^[ \t]*(?:step\s+)?\d+[.:)](?=\s)", re.IGNORECASE | re.MULTILINE)


def _tagged(response: str, tag: str) -> Iterator[tuple[int, int]]:
    """What stands in tags; one that the end of the response cuts off counts, as far as it goes."""
    name = re.escape(tag)
    for match in re.finditer(rf"<{name}>(.*?)(?:</{name}>|\Z)", response, re.DOTALL):
        yield match.span(1)


SPLITTERS: dict[str, Callable[[str, str], Iterator[tuple[int, int]]]] = {
    "lines": lambda response, _: _between(_LINE, response),
    "blank_line": lambda response, _: _between(_BLANK_LINE, response),
    "numbered": lambda response, _: _from_each(_NUMBER, response),
    "tag": _tagged,
    "sentences": lambda response, _: _between(_SENTENCE, response),
}
"""By name of `steps.by`: the spans of a response, blanks included."""
