r"""Split an answer into formulas and words: `2\text{ hours }30\text{ minutes}` has two of each."""

import re

from rlsp_cli.rewards.answers.units import is_unit

_POWER = r"(?:\^\{?-?\d\}?)"
_TOKEN = re.compile(
    rf"""
      (?P<text> \\text\{{[^{{}}]*\}} {_POWER}? )
    | (?P<dots> ,?\s* \\ldots \s*,? )
    | (?P<command> \\[A-Za-z]+ | \\. )      # before `bare`, which would find its name
    | (?P<brace> [{{}}] )
    | (?P<index> [_^]\s*[A-Za-z]+ )         # x_max is one variable
    | (?P<bare> (?<![A-Za-z_]) [A-Za-z]{{2,}}+ {_POWER}? (?!\() )  # gcd(4, 6) is a formula
    """,
    re.VERBOSE | re.DOTALL,
)
_JOINED = re.compile(r"\s*(?:\\cdot|/|\*)?\s*")
_LETTER_UNIT = re.compile(
    rf"""
    ^ ( [-+]?[\d.,]+ (?:\s*\\times\s*10\^\{{?-?\d+\}}?)? )            # 5, 3 \times 10^8
    \s+ ( [mgshLNJWVK] (?:\s*/\s*(?:s|h|m|L|kg)|\s+s)? {_POWER}? ) $   # m, m/s, m s^{{-1}}
    """,
    re.VERBOSE,
)
"""A number and a unit of one letter, which a blank tells from a product such as 5m."""
_LEAST = 4
"""Letters of a bare word; fewer may be a product of variables."""
_WORDS = "per in of the to for at by all is are not no if on as an each from with or and out any"
_SHORT = frozenset(_WORDS.split())
"""Shorter ones that are words all the same."""


def pieces(text: str) -> list[str]:
    """Formula, words, formula, words, ..., formula: an odd number of texts, some of them empty."""
    # A matrix is one formula, whatever its column specification looks like.
    if "\\begin" in text:
        return [text]

    text = _LETTER_UNIT.sub(r"\1\\text{\2}", text)

    found: list[str] = []
    start = depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(token["brace"] or "", 0)

        # Words within braces belong to their formula: x_{\text{max}}.
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
    """The words of a token, or an empty text for a part of a formula."""
    # An empty \text{} still separates two formulas, so it counts as a blank.
    if token["text"]:
        return token[0].replace("\\text{", "", 1).replace("}", "", 1).strip() or " "
    if token["dots"]:
        return "..."

    bare = token["bare"] or ""
    name = bare.partition("^")[0]
    return bare if len(name) >= _LEAST or name.lower() in _SHORT or is_unit(name) else ""
