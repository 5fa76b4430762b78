r"""An answer taken apart into formulas and the words between: `2\text{ hours }30\text{ minutes}` has two of each."""

import re

from rlsp_cli.rewards.answers.units import is_unit

_TOKEN = re.compile(
    r"(?P<text>\\text\{[^{}]*\}(?:\^\{?-?\d\}?)?)|(?P<dots>,?\s*\\ldots\s*,?)|(?P<command>\\[A-Za-z]+|\\.)"
    r"|(?P<brace>[{}])|(?P<index>[_^]\s*[A-Za-z]+)|(?P<bare>(?<![A-Za-z_])[A-Za-z]{2,}+(?:\^\{?-?\d\}?)?(?!\())",
    re.DOTALL,
)
_JOINED = re.compile(r"\s*(?:\\cdot|/|\*)?\s*")
_LETTER_UNIT = re.compile(
    r"^([-+]?[\d.,]+(?:\s*\\times\s*10\^\{?-?\d+\}?)?)\s+([mgshLNJWVK](?:\s*/\s*(?:s|h|m|L|kg)|\s+s)?(?:\^\{?-?\d\}?)?)$"
)
_LEAST = 4
"""Letters of a bare word; fewer may be a product of variables."""
_SHORT = frozenset(
    re.split(
        " ",
        "per in of the to for at by all is are not no if on as an each from with or and out any",
    )
)
"""Shorter ones that are words all the same."""


def pieces(text: str) -> list[str]:
    """Formula, words, formula, words, ..., formula: an odd number of texts, of which some may be empty."""
    if "\\begin" in text:
        return [text]
    text = _LETTER_UNIT.sub(r"\1\\text{\2}", text)

    found: list[str] = []
    start = depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(token["brace"] or "", 0)
        words = "" if depth else _words(token)
        if not words:
            continue

        formula = text[start : token.start()]
        if found and _JOINED.fullmatch(formula):  # one unit: `\text{kg}\cdot\text{m}`
            found[-1] += formula.replace("\\cdot", "") + " " + words
        else:
            found += [formula, words]
        start = token.end()
    return [*found, text[start:]]


def _words(token: re.Match[str]) -> str:
    """The words of a token; nothing for a part of a formula."""
    if token["text"]:
        return token[0].replace("\\text{", "", 1).replace("}", "", 1).strip() or " "
    if token["dots"]:
        return "..."
    bare = token["bare"] or ""
    name = bare.partition("^")[0]
    return bare if len(name) >= _LEAST or name.lower() in _SHORT or is_unit(name) else ""
