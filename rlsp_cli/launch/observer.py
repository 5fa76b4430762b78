"""The observer of a job: what it does with messages and with the passing of time while it runs."""

import sys
from pathlib import Path
from typing import Protocol

from rlsp_cli.runs.stream import Tail
from rlsp_cli.terminal import print

_NOTE = b"note: "


class Observer(Protocol):
    """Follows something that takes long."""

    def say(self, text: str) -> None:
        """Show a message."""

    def tick(self) -> None:
        """Show what is new; called a few times a second."""


class Printer:
    """An observer that prints messages on stderr and shows nothing else."""

    def say(self, text: str) -> None:
        """Print a message."""
        print(text, file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Nothing is new."""


class NoteReader:
    """An observer that also shows a command's notes: lines of its log that begin with `note: `."""

    def __init__(self, observer: Observer, log: Path) -> None:
        self.say = observer.say
        self._observer, self._tail = observer, Tail(log)

    def tick(self) -> None:
        """Show what is new, and the new notes."""
        self._observer.tick()

        for line in self._tail.lines():
            if line.startswith(_NOTE):
                text = line.removeprefix(_NOTE).rstrip(b"\n")
                # A command's log may hold anything, also text that is not UTF-8.
                self.say(text.decode("utf-8", errors="replace"))
