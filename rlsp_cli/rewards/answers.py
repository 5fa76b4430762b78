"""Finding the final answer in a response: one rule, the same in training and evaluation."""

import re

_TOKEN = re.compile(r"(?P<box>\\{1,2}f?boxed\s*\{)|(?P<escaped>\\.)|(?P<brace>[{}])", re.DOTALL)
_THINK_END = "</think>"


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}` after the thinking ends; None when there is none.

    Braces are matched, `\{` and `\}` are letters of the answer; a box that is never closed does not count. One pass:
    the time grows with the length of the text, whatever is in it.
    """
    text = text.rpartition(_THINK_END)[2]
    open_braces: list[tuple[int, bool]] = []  # where each one's content starts, and whether it is a box
    start, end = -1, -1
    for token in _TOKEN.finditer(text):
        if token["box"] or token["brace"] == "{":
            open_braces.append((token.end(), bool(token["box"])))
        elif token["brace"] == "}" and open_braces:
            content, is_box = open_braces.pop()
            if is_box and content > start:
                start, end = content, token.start()
    return None if start < 0 else text[start:end].strip()
