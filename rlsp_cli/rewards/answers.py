"""Finding the final answer in a response: one rule, the same in training and evaluation."""

import re

_BOX = re.compile(r"\\f?boxed\s*\{")
_THINK_END = "</think>"


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}` after the thinking ends; None when there is none.

    Braces are matched, `\{` and `\}` are letters of the answer; a box that is never closed does not count.
    """
    text = text.rpartition(_THINK_END)[2]
    answer = None
    for match in _BOX.finditer(text):
        end = _closing_brace(text, match.end())
        if end is not None:
            answer = text[match.end() : end].strip()
    return answer


def _closing_brace(text: str, start: int) -> int | None:
    depth, position = 1, start
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter in "{}":
            depth += 1 if letter == "{" else -1
            if depth == 0:
                return position
        position += 1
    return None
