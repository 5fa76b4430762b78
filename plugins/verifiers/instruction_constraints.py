"""Check simple constraints on a text: its length, its words, its form."""

import re
from collections.abc import Callable
from typing import Any

from rlsp_cli.outside import strict_json
from rlsp_cli.rewards import Sample, Verdict, verifier, without_thinking


@verifier
def instruction_constraints(sample: Sample, *, all_of_them: bool = False) -> Verdict | None:
    """The share of simple constraints (length, words, form) that the text satisfies.

    `metadata["constraints"]` are objects such as {"max_words": 50}, {"min_words": 10}, {"include":
    "tea"}, {"exclude": "coffee"}, {"starts_with": "Dear"}, {"ends_with": "Yours."}, {"lines": 3},
    {"bullets": 4}, {"lowercase": true}, {"uppercase": true}, {"json": true}, {"matches": "^[a-z
    ]+$"}. They are checked on what follows the thinking. With `all_of_them`, 1 if all hold, else 0.
    Abstains when there are none. The share as a dense reward is Light-IF's idea.
    """
    constraints: list[tuple[str, Any]] = []
    for item in sample.metadata.get("constraints", []):
        constraints += item.items()
    if not constraints:
        return None

    # An empty text has no more than 50 words, and follows nothing.
    text = without_thinking(sample.response).strip()
    kept = [bool(text) and CHECKS[kind](text, wanted) for kind, wanted in constraints]
    share = sum(kept) / len(kept)
    return Verdict(float(share == 1) if all_of_them else share, text or None)


def _is_json(text: str) -> bool:
    try:
        strict_json(text)
    except ValueError:
        return False
    return True


CHECKS: dict[str, Callable[[str, Any], bool]] = {
    "min_words": lambda text, n: len(text.split()) >= n,
    "max_words": lambda text, n: len(text.split()) <= n,
    "include": lambda text, word: word.lower() in text.lower(),
    "exclude": lambda text, word: word.lower() not in text.lower(),
    "starts_with": lambda text, words: text.startswith(words),
    "ends_with": lambda text, words: text.endswith(words),
    "lines": lambda text, n: len([line for line in text.splitlines() if line.strip()]) == n,
    "bullets": lambda text, n: len(re.findall(r"^[^\S\n]*[-*\u2022]\s", text, re.MULTILINE)) == n,
    "lowercase": lambda text, wanted: (text == text.lower()) == wanted,
    "uppercase": lambda text, wanted: (text == text.upper()) == wanted,
    "json": lambda text, wanted: _is_json(text) == wanted,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
}
