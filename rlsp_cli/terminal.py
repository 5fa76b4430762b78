"""What reaches a terminal or a log: text of models, servers, plugins and files, with nothing in it to obey."""

import builtins
import re
import sys
from io import TextIOWrapper
from typing import Any

_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
"""Controls (C0, DEL, C1) but line ends and tabs, what turns text round, and halves of characters."""


def printable(text: str, most: int | None = None) -> str:
    r"""A text as it can be shown: what a terminal would obey is spelled out, ESC as `\u001b`.

    With `most`, a longer one is cut there and its length said. The spelling is JSON's, so JSON
    stays JSON.
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}... ({len(text):,} characters)"
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print(*values: object, **options: Any) -> None:
    """Python's `print` of what can be shown."""
    builtins.print(*(printable(str(value)) for value in values), **options)


def let_any_text_through() -> None:
    """Spell out what the encoding of stdout lacks, instead of ending; Python does so on stderr anyway."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
