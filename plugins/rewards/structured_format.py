"""Reward a response that has the wanted sections, in order."""

import re

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def structured_format(
    sample: Sample,
    *,
    tags: list[str] = ["think", "answer"],  # noqa: B006 (never changed)
    mentions_in: str | None = None,
) -> float:
    """1 if all sections (`<think>...</think>`) are there once and in order, else 0.

    Each has to be closed, and none may lie within another. Tags in the first section `mentions_in`
    only name a section, as `section_reference` wants, and do not count. After ReFIne (2510.09062).
    """
    text = sample.response
    if mentions_in is not None:
        first = rf"(<{mentions_in}>).*?(</{mentions_in}>)"
        text = re.sub(first, r"\1\2", text, count=1, flags=re.DOTALL)

    found = re.findall(r"<(/?)(\w+)>", text)
    wanted = [(slash, tag) for tag in tags for slash in ("", "/")]
    return float([(slash, tag) for slash, tag in found if tag in tags] == wanted)
