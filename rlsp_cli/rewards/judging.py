"""What a model is shown to judge, and the verdict with which its reply ends."""

import re

from rlsp_cli.rewards.marker import marker_of
from rlsp_cli.rewards.thinking import without_thinking


def shown_texts(**texts: str) -> str:
    """Each text below its name, between markers that no text can contain; `_` is a space."""
    marker = marker_of(*texts.values())
    return "\n\n".join(
        f"{name.replace('_', ' ')}:\n<<<{marker}\n{text}\n{marker}>>>"
        for name, text in texts.items()
    )


def stated_verdict(reply: str, label: str, values: str) -> str | None:
    """What the lines `label: value` of a reply say in lower case; None unless all say the same.

    `values` is a pattern of what a verdict can be, such as `right|wrong`. Thinking is not read.
    """
    line = re.compile(rf"^\W*{label}\W+({values})\W*$", re.IGNORECASE | re.MULTILINE)
    found = {value.lower() for value in line.findall(without_thinking(reply))}
    return found.pop() if len(found) == 1 else None
