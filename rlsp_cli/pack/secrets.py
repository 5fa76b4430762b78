"""No secret leaves with an archive: files are searched before they are written."""

import os
import re
from collections.abc import Iterable, Iterator

from rlsp_cli.errors import CheckError
from rlsp_cli.pack.index import Packed
from rlsp_cli.recipe.variables import looks_secret

_SHORTEST = 8
"""Shorter values of variables are found in any text."""
_KNOWN = re.compile(
    rb"\b(hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16})\b"
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/\s:@\"']+:[^/\s@\"']+@"
)
"""Tokens of the hub, OpenAI, GitHub and AWS; private keys; passwords in addresses."""


def refuse_secrets(files: Iterable[Packed]) -> None:
    """CheckError for a file with something that looks like a secret; it is not shown."""
    for file in files:
        for what in _secrets(file.content):
            place = file.was or file.name
            raise CheckError(
                f"{place}: {what}, and an archive is for others; nothing was written; "
                "take it out of the file, and pack again"
            )


def _secrets(content: bytes) -> Iterator[str]:
    for name, value in os.environ.items():
        if looks_secret(name) and len(value) >= _SHORTEST and value.encode() in content:
            yield f"it holds the value of {name}"

    if found := _KNOWN.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        yield f"line {line} looks like a key, a token or a password"
