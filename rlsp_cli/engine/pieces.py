"""Long streams in pieces: enough at once for all cores, and little enough for memory."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_CHARACTERS = 300_000
"""Of text in a piece: a tokenizer takes some 100 bytes for each of its tokens, and Python as many."""


def pieces(items: Iterable[Item], characters: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in lists of about 300,000 characters, in their order."""
    piece: list[Item] = []
    size = 0
    for item in items:
        piece.append(item)
        size += characters(item)
        if size >= _CHARACTERS:
            yield piece
            piece, size = [], 0

    if piece:
        yield piece
