"""Pays for the wanted sections, in order."""

import re

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def structured_format(sample: Sample, *, tags: list[str] = ["think", "answer"]) -> float:  # noqa: B006 (never changed)
    """1 when each `<tag>...</tag>` occurs once, closed, none inside another, in this order; else 0 (after ReFIne)."""
    found = re.findall(r"<(/?)(\w+)>", sample.response)
    wanted = [(slash, tag) for tag in tags for slash in ("", "/")]
    return float([(slash, tag) for slash, tag in found if tag in tags] == wanted)
