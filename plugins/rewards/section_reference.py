"""Reward thinking that refers to the sections before it."""

import re

from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def section_reference(
    sample: Sample,
    *,
    sections: list[str] = ["understanding", "facts", "plan"],  # noqa: B006 (never changed)
    within: str = "think",
) -> float:
    """The share of `sections` that the section `within` names by their tags, 0 to 1.

    A section is named by its opening tag: "by <facts>, x is even". Each counts once, in the first
    `within` section. ReFIne (2510.09062) in its released code; with its three sections, each earns
    1/3. Give `structured_format` the same section as `mentions_in`, or it takes these tags for
    sections within others.
    """
    text = sample.response.lower()
    found = re.search(rf"<{within.lower()}>(.*?)</{within.lower()}>", text, re.DOTALL)
    if not found or not sections:
        return 0.0

    named = [f"<{section.lower()}>" in found[1] for section in sections]
    return sum(named) / len(sections)
