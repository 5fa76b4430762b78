"""Fenced blocks as models write them: with any label, CRLF, tildes, unclosed, within a list."""

import re
from textwrap import dedent
from typing import NamedTuple

from rlsp_cli.rewards.thinking import without_thinking

_FENCE = re.compile(r"(?P<indent>[ \t>]*)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)")
_OPENS_AFTER_TEXT = re.compile(r"(?P<indent>)[^`]*(?P<fence>`{3,})(?P<info>\w*)\s*")
_CLOSES_AFTER_CODE = re.compile(r"([^`]*[^`\s])`{3,}\s*")
_LABEL = re.compile(r"\W*([\w+#-]*)")
_MOST_INDENT = 3
"""Characters by which a closing fence may be indented more; the fences of a docstring have four."""


class Block(NamedTuple):
    """A block's code, and the first word of its label in lower case, empty without one."""

    language: str
    code: str


def fenced_blocks(text: str) -> list[Block]:
    """All fenced blocks after the thinking, in order; one that never closes ends with the text."""
    blocks: list[Block] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []

    for line in without_thinking(text).replace("\r\n", "\n").split("\n"):
        if opening is None:
            opening, lines = _FENCE.fullmatch(line) or _OPENS_AFTER_TEXT.fullmatch(line), []
            continue

        closing, last = _FENCE.fullmatch(line), _CLOSES_AFTER_CODE.fullmatch(line)
        # A model that forgets the line break closes the block behind its last line of code.
        if last and opening["fence"][0] == "`":
            lines.append(last[1])
        elif not (closing and _closes(closing, opening)):
            lines.append(_without_indent(line, len(opening["indent"])))
            continue

        blocks.append(_block(opening, lines))
        opening = None

    # A response that was cut off: its tests say what the block is worth.
    return [*blocks, _block(opening, lines)] if opening else blocks


def last_fenced(text: str, *languages: str) -> str | None:
    """The last fenced block after the thinking, with one of these labels or none; else None."""
    codes = [block.code for block in fenced_blocks(text) if block.language in ("", *languages)]
    return codes[-1] if codes else None


def _closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    # A fence with a label opens a block, and a shorter one is text of a longer one's block.
    if fence["info"].strip() or not fence["fence"].startswith(opening["fence"]):
        return False

    return len(fence["indent"]) - len(opening["indent"]) <= _MOST_INDENT


def _without_indent(line: str, width: int) -> str:
    """A line without the indentation and `>` that stand before its fence."""
    return line[:width].lstrip(" \t>") + line[width:]


def _block(opening: re.Match[str], lines: list[str]) -> Block:
    label = _LABEL.match(opening["info"])
    assert label is not None
    return Block(label[1].lower(), dedent("\n".join(lines)).strip())
