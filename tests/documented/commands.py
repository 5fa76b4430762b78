"""What a page asks its reader to do: files to write and commands to run.

An indented block has commands and comments, and so has a fence of `sh`. Whatever else is code stands in a fence that
names its language, and with `title="NAME"` it is the file NAME.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(
    r'^ *```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?\n(?P<inside>.*?)^ *```$',
    re.MULTILINE | re.DOTALL,
)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4,}[^\n]*\n|\n(?= {4}))+")


class Written(NamedTuple):
    """A file that a page shows."""

    name: str
    text: str


class Command(NamedTuple):
    """A command without its comment, as a shell would quote it."""

    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def steps_of(page: Path) -> Iterator[Written | Command]:
    """The files and commands of a page, in order."""
    text, end = page.read_text(), 0
    for fence in FENCE.finditer(text):
        yield from _indented(text[end : fence.start()])
        if fence["language"] == "sh":
            yield from _commands(fence["inside"])
        elif fence["title"]:
            yield Written(fence["title"], fence["inside"])
        end = fence.end() + 1
    yield from _indented(text[end:])


def commands_of(page: Path) -> list[Command]:
    """The commands of a page, in order."""
    return [step for step in steps_of(page) if isinstance(step, Command)]


def _indented(text: str) -> Iterator[Command]:
    for block in _INDENTED.findall(f"\n{text}"):
        yield from _commands(block)


def _commands(block: str) -> Iterator[Command]:
    """The commands of a block; one may go on after a backslash or inside quotes."""
    text = ""
    for line in block.splitlines():
        text += line.removesuffix("\\") + ("" if line.endswith("\\") else "\n")
        if line.endswith("\\") or (words := _words(text)) is None:
            continue
        if words:
            yield Command(shlex.join(words))
        text = ""


def _words(text: str) -> list[str] | None:
    """The words of a line, or None where a quote has not ended."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return None
