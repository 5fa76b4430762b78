"""Text for a terminal or a log, with control characters spelled out."""

import builtins
import re
import sys
from io import TextIOWrapper
from typing import Any

_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
"""Controls except line ends and tabs, marks of text direction, and lone surrogates."""


def printable(text: str, most: int | None = None) -> str:
    r"""A text with control characters spelled out as in JSON, ESC as `\u001b`.

    A model or server could otherwise change what the terminal shows. A text of more than `most`
    characters is truncated, and its length given.
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}... ({len(text):,} characters)"
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print(*values: object, **options: Any) -> None:
    """Python's `print`, of printable text."""
    builtins.print(*(printable(str(value)) for value in values), **options)


def let_any_text_through() -> None:
    """Spell out characters that stdout's encoding lacks, instead of raising."""
    # Python does so for stderr by itself.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
