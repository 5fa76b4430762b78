"""Reward a response that has the wanted sections, in order."""

import re

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def structured_format(
    sample: Sample,
    *,
    tags: list[str] = ["think", "answer"],  # noqa: B006 (never changed)
) -> float:
    """1 if all sections (`<think>...</think>`) are there once and in order, else 0.

    Each has to be closed, and none may lie within another. After ReFIne.
    """
    found = re.findall(r"<(/?)(\w+)>", sample.response)
    wanted = [(slash, tag) for tag in tags for slash in ("", "/")]
    return float([(slash, tag) for slash, tag in found if tag in tags] == wanted)
