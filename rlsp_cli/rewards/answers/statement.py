"""What a text without a box says its answer to be, and the last value in one that says nothing."""

import re
from collections.abc import Iterator

_WORDS = ("answer", "option", "choice", "letter", "####")
_MARK = re.compile(
    r"""
      \banswers? \b (?:\s+(?:to|for|of|in)\b [^.\n:=]{0,60}?)? [\s*_]{0,9}
          (?: \b(?:is|are|(?:would|should|must|will)\s+be|equals)\b | [:=\uff1a] )
    | \b(?:correct|right|best)\s+(?:option|choice|letter) \b [\s*_]{0,9} (?:\bis\b|:)
    | ^\#{4} (?=[ \t]*[-+$\\]{0,3}[\d.,/]*\d[ \t%$]*(?-i:[a-z]*)[ \t.]*$)
    | ^[ \t]*(?:\#{1,6}[ \t]*)? [*_]{0,3}(?:the[ ])?final[ ]answer[*_]{0,3} [ \t]*$
    | ^[ \t]*\#{1,6}[ \t]* [*_]{0,3}(?:the[ ])?answer[*_]{0,3} [ \t]*$
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_LEAD = re.compile(
    r"(?:[\s*_`:=\uff1a]|approx\."
    r"|(?:approximately|about|roughly|around|simply|just|therefore|thus|hence|then|now|exactly"
    r"|indeed|clearly|definitely|for\s+sure|that|given\s+by|equal\s+to|as\s+follows)\b,?)*",
    re.IGNORECASE,
)
_REASON = (
    r"because|since|so|which|whereas|where|while|when|but|if|unless|given|due\s+to"
    r"|as\s+(?:the|it|we|they|this|that|a)"
)
_CLAUSE = re.compile(
    rf"""
    (?: \$\$.{{1,800}}?\$\$ | \\\[.{{1,800}}?\\\] | \\\(.{{1,800}}?\\\) | (?<!\\)\$[^$\n]{{1,800}}\$
      | (?! \n
          | (?<!\.)\.(?!\.) [*_"')\]]*(?:\s|$)
          | [?\u3002](?:\s|$)
          | !\s+(?-i:[A-Z])
          | ,?\s+[(\[*_]*(?:{_REASON})\b
          | ,\s+(?:as|not|it|the|although|though|and\s+(?:the|it|not))\b
          | \s+(?:is|are)\s+(?:the|our|my)\b
        ) . )*
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_OTHER_LETTER = r"(?i:(?:or|maybe|possibly|perhaps|even)\s+)+[A-J]\s*\)"
_ASIDE = re.compile(rf"\s+\((?!\s*mod\b|\s*{_OTHER_LETTER})[^()\\$]*[A-Za-z]{{2}}[^()\\$]*\)$")
_EMPHASIS = re.compile(r"(?<![\w)])\*\*|\*\*(?![\w(])")
"""Asterisks that are no power."""
_REVERSED = re.compile(
    r"(?:^|\s)[*_]{0,2}(\$[^$\n]{1,80}\$|\(?[A-J]\)?|[-+]?\d[\d.,/]*)[*_]{0,2}\s+is\s+(?:the|our|my)\s+(?:\w+\s+)?answer\b",
    re.MULTILINE,
)
_EMPTY = re.compile(
    r"(?:not|correct|incorrect|right|wrong|reasonable|valid|consistent|confirmed|verified|clear|below|above|obtained|found"
    r"|in|what|this|it|to|either|let|first)\b",
    re.IGNORECASE,
)
"""How what follows "answer is" begins where no answer follows."""
_VALUE = re.compile(
    r"""
      \$\$ (?P<display>.{1,800}?) \$\$
    | \\\[ (?P<bracket>.{1,800}?) \\\]
    | \\\( (?P<round>.{1,800}?) \\\)
    | (?<!\\)\$ (?P<inline>
        (?=[^\s$])(?:\\.|[^$\n\\]){1,800}(?<=\S) | (?=[^$\n]{0,800}\\)(?:\\.|[^$\n\\]){1,800}  # `$5 or $` is money
      ) \$(?!\d)
    | (?P<latex> [-+]?\d*\\(?:[dt]?frac\s*\{[^{}\n]{0,80}\}|sqrt)\s*\{[^{}\n]{0,80}\})
    | (?P<number> (?<![A-Za-z_\d.,])[-+]? (?:\d{1,3}(?:,\d{3})+|\d+(?:[.,]\d+)?|\.\d+) (?:\.\d+)?
        (?: [eE][-+]?\d+ | \s+\d+/\d+ | (?:\s*[-+*/^]\s*[-+]?\d+(?:\.\d+)?)+ )? (?:\s*(?:\\?%|percent\b|pct\b))? )
    """,
    re.VERBOSE | re.DOTALL,
)
_DECIMAL_COMMA = re.compile(r"^([-+]?\d+),(\d{1,2}|\d{4,})$")
_SENTENCE = re.compile(
    r"(?:the|so|thus|hence|therefore|there|we|it)\b.*\b(?:is|are|equals?|get|have|obtain)\s+(?P<answer>\S.*)",
    re.IGNORECASE,
)
_LONGEST = 1000
"""Characters that a stated answer may have."""
_MOST = 20
"""Statements that are looked at for each word, from the last one backwards."""
_BEFORE, _AFTER = 120, 100
"""Characters around the word in which its statement begins."""
_TAIL = 20_000
"""Characters at the end of a text in which a value is looked for."""


def last_statement(text: str) -> str | None:
    """What the last "answer is", "Answer:", "#### 42" or heading "Final answer" says; None when nothing does.

    It ends with its clause: at the end of the line, before a full stop, "because", ", not" and the
        like. On the line
    after the mark only something short counts. "The answer is correct" says nothing, and what
    stands before does.
    """
    found = [answer for place in _places(text) for answer in _said_around(text, place)]
    return max(found)[1] if found else None


def last_value(text: str) -> str | None:
    """The last formula or number of a text."""
    tail = text.partition("\\boxed")[0][-_TAIL:]  # a box that never closes says nothing
    values = list(_VALUE.finditer(tail))
    if not values:
        return None
    number = values[-1]["number"]
    return (
        _DECIMAL_COMMA.sub(r"\1.\2", number)
        if number
        else values[-1][values[-1].lastgroup or 0].strip()
    )


def _places(text: str) -> list[int]:
    """Where the last words stand that an answer is stated with; a search for the whole pattern would take long."""
    lower = text.lower()
    places = []
    for word in _WORDS:
        place = len(lower)
        for _ in range(_MOST):
            place = lower.rfind(word, 0, place)
            if place < 0:
                break
            places.append(place)
    return places


def _said_around(text: str, place: int) -> Iterator[tuple[int, str]]:
    """What the statement around one of the words says, with where it begins."""
    before, after = max(0, place - _BEFORE), place + _AFTER
    for mark in _MARK.finditer(text, before, after):
        said = _statement(text, mark.end())
        if said:
            yield mark.end(), said
    for said_first in _REVERSED.finditer(text, before, after):
        yield said_first.end(), said_first[1]


def _statement(text: str, start: int) -> str:
    """The answer that begins here, without what leads to it; nothing where none begins."""
    window = text[start : start + _LONGEST]
    lead = _LEAD.match(window)
    begin = lead.end() if lead else 0
    clause = _CLAUSE.match(window, begin)
    said = (
        clause[0].strip().strip("*_`").rstrip(".,;:*").removesuffix("**!").strip() if clause else ""
    )
    if said.count("**") % 2:
        said = _EMPHASIS.sub(" ", said)
    sentence = _SENTENCE.fullmatch(said)
    said = _ASIDE.sub("", sentence["answer"] if sentence else said)

    on_next_line = "\n" in window[:begin]
    is_question = clause is not None and window.startswith("?", clause.end())
    if (
        is_question
        or _EMPTY.match(said)
        or "boxed" in said
        or (on_next_line and len(said.split()) > 8 and "\\" not in said)
    ):
        return ""
    return said
