"""The answer that a text without a box states, and the last value of one that states none."""

import re
from collections.abc import Iterator

_WORDS = ("answer", "option", "choice", "letter", "####")
_MARK = re.compile(
    r"""
      # The answer to the problem is, Answer:
      \banswers? \b (?:\s+(?:to|for|of|in)\b [^.\n:=]{0,60}?)? [\s*_]{0,9}
          (?: \b(?:is|are|(?:would|should|must|will)\s+be|equals)\b | [:=\uff1a] )
      # The correct option is
    | \b(?:correct|right|best)\s+(?:option|choice|letter) \b [\s*_]{0,9} (?:\bis\b|:)
      # GSM8K's "#### 42", with nothing but a number and its unit: "#### 2. Step" is a heading
    | ^\#{4} (?=[ \t]*[-+$\\]{0,3}[\d.,/]*\d[ \t%$]*(?-i:[a-z]*)[ \t.]*$)
      # headings, and "Final answer" alone on its line
    | ^[ \t]*(?:\#{1,6}[ \t]*)? [*_]{0,3}(?:the[ ])?final[ ]answer[*_]{0,3} [ \t]*$
    | ^[ \t]*\#{1,6}[ \t]* [*_]{0,3}(?:the[ ])?answer[*_]{0,3} [ \t]*$
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_LEAD = re.compile(
    r"""
    (?: [\s*_`:=\uff1a]
      | approx\.
      | (?: approximately | about | roughly | around | exactly
          | simply | just | indeed | clearly | definitely | for\s+sure
          | therefore | thus | hence | then | now
          | that | given\s+by | equal\s+to | as\s+follows
        )\b,?
    )*
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What may stand between a mark and the answer."""
_REASON = (
    r"because|since|so|which|whereas|where|while|when|but|if|unless|given|due\s+to"
    r"|as\s+(?:the|it|we|they|this|that|a)"
)
_CLAUSE = re.compile(
    rf"""
    # Formulas as a whole, whatever punctuation is in them
    (?: \$\$.{{1,800}}?\$\$ | \\\[.{{1,800}}?\\\] | \\\(.{{1,800}}?\\\) | (?<!\\)\$[^$\n]{{1,800}}\$
      # and characters, up to where the clause ends:
      | (?! \n
          | (?<!\.)\.(?!\.) [*_"')\]]*(?:\s|$)         # a full stop, but no dots
          | [?\u3002](?:\s|$)
          | !\s+(?-i:[A-Z])                            # but no factorial
          | ,?\s+[(\[*_]*(?:{_REASON})\b               # a reason
          | ,\s+(?:as|not|it|the|although|though|and\s+(?:the|it|not))\b
          | \s+(?:is|are)\s+(?:the|our|my)\b           # "answer: 4 is the answer"
        ) . )*
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_OTHER_LETTER = r"(?i:(?:or|maybe|possibly|perhaps|even)\s+)+[A-J]\s*\)"
# "(as shown above)" behind an answer, but neither "(mod 7)" nor "(or maybe B)".
_ASIDE = re.compile(rf"\s+\((?!\s*mod\b|\s*{_OTHER_LETTER})[^()\\$]*[A-Za-z]{{2}}[^()\\$]*\)$")
_EMPHASIS = re.compile(r"(?<![\w)])\*\*|\*\*(?![\w(])")
"""Two asterisks that are no power."""
_REVERSED = re.compile(
    r"""
    (?:^|\s) [*_]{0,2}
    ( \$[^$\n]{1,80}\$ | \(?[A-J]\)? | [-+]?\d[\d.,/]* )
    [*_]{0,2} \s+is\s+(?:the|our|my)\s+(?:\w+\s+)?answer\b
    """,
    re.VERBOSE | re.MULTILINE,
)
"""The answer before its mark: "4 is the answer"."""
_EMPTY = re.compile(
    r"""
    (?: not | correct | incorrect | right | wrong | reasonable | valid | consistent
      | confirmed | verified | clear | below | above | obtained | found
      | in | what | this | it | to | either | let | first
    )\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words after "answer is" that say something about the answer instead of giving it."""
_VALUE = re.compile(
    r"""
      # 800 characters at most, or each dollar sign would search the rest of the text.
      \$\$ (?P<display>.{1,800}?) \$\$
    | \\\[ (?P<bracket>.{1,800}?) \\\]
    | \\\( (?P<round>.{1,800}?) \\\)
    | (?<!\\)\$ (?P<inline>
        (?=[^\s$])(?:\\.|[^$\n\\]){1,800}(?<=\S)         # `$5 or $` is money
        | (?=[^$\n]{0,800}\\)(?:\\.|[^$\n\\]){1,800}
      ) \$(?!\d)
    | (?P<latex> [-+]?\d*\\(?:[dt]?frac\s*\{[^{}\n]{0,80}\}|sqrt)\s*\{[^{}\n]{0,80}\})
    | (?P<number> (?<![A-Za-z_\d.,])[-+]? (?:\d{1,3}(?:,\d{3})+|\d+(?:[.,]\d+)?|\.\d+) (?:\.\d+)?
        (?: [eE][-+]?\d+ | \s+\d+/\d+ | (?:\s*[-+*/^]\s*[-+]?\d+(?:\.\d+)?)+ )?
        (?: \s*(?:\\?%|percent\b|pct\b) )? )
    """,
    re.VERBOSE | re.DOTALL,
)
# 3,14 and 0,5000; 1,234 has a separator of thousands.
_DECIMAL_COMMA = re.compile(r"^([-+]?\d+),(\d{1,2}|\d{4,})$")
_SENTENCE = re.compile(
    r"(?:the|so|thus|hence|therefore|there|we|it)\b.*"
    r"\b(?:is|are|equals?|get|have|obtain)\s+(?P<answer>\S.*)",
    re.IGNORECASE,
)
_LONGEST = 1000
"""Characters that a stated answer may have."""
_MOST = 20
"""Occurrences of each word that are examined, from the last one backwards."""
_BEFORE, _AFTER = 120, 100
"""Characters around the word in which its statement begins."""
_TAIL = 20_000
"""Characters at the end of a text that are searched for a value."""
_LONGEST_LINE = 8
"""Words of an answer on the line after its mark; more are a sentence, not an answer."""


def last_statement(text: str) -> str | None:
    """The answer after the last "answer is", "Answer:", "####" or heading "Final answer", or None.

    It ends with its clause: at the end of the line, before a full stop, "because", ", not" and the
    like. On the line after the mark only something short counts. "The answer is correct" states
    nothing, so an earlier statement counts.
    """
    found: list[tuple[int, str]] = []
    for place in _places(text):
        found += _said_around(text, place)
    return max(found)[1] if found else None


def last_value(text: str) -> str | None:
    """The last formula or number of a text."""
    # A box that never closes is an answer that was cut off; half of it is none.
    tail = text.partition("\\boxed")[0][-_TAIL:]
    values = list(_VALUE.finditer(tail))
    if not values:
        return None

    last = values[-1]
    if last["number"]:
        return _DECIMAL_COMMA.sub(r"\1.\2", last["number"])
    return last[last.lastgroup or 0].strip()


def _places(text: str) -> list[int]:
    """Where the words of a statement occur last; to search a whole text for _MARK would be slow."""
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
    """The answers stated around one of the words, with the places where they begin."""
    before, after = max(0, place - _BEFORE), place + _AFTER
    for mark in _MARK.finditer(text, before, after):
        said = _statement(text, mark.end())
        if said:
            yield mark.end(), said

    for said_first in _REVERSED.finditer(text, before, after):
        yield said_first.end(), said_first[1]


def _statement(text: str, start: int) -> str:
    """The answer that begins here, without what leads to it; an empty text where none begins."""
    window = text[start : start + _LONGEST]
    lead = _LEAD.match(window)
    begin = lead.end() if lead else 0
    clause = _CLAUSE.match(window, begin)
    if clause is None:
        return ""

    said = clause[0].strip().strip("*_`").rstrip(".,;:*").removesuffix("**!").strip()

    # An odd number: one end of the emphasis lies outside of the clause.
    if said.count("**") % 2:
        said = _EMPHASIS.sub(" ", said)

    # "Answer: so there are 12 apples" states 12 apples.
    sentence = _SENTENCE.fullmatch(said)
    said = _ASIDE.sub("", sentence["answer"] if sentence else said)

    # "What is the answer? 4" asks, and a box that is mentioned has been looked at already.
    if window.startswith("?", clause.end()) or _EMPTY.match(said) or "boxed" in said:
        return ""

    is_on_next_line = "\n" in window[:begin]
    if is_on_next_line and len(said.split()) > _LONGEST_LINE and "\\" not in said:
        return ""
    return said
