"""The words of a problem in one spelling for LaTeX, Unicode and plain text."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

from rlsp_cli.evals.overlap.symbols import COMMANDS, INFIX, PLAIN, UNICODE

Token = TypeVar("Token")

_RAISED = "\x02"
"""Stands before each raised digit or minus sign: several of them are one exponent."""
_OPERATORS = "-+*/=<>^!%"

_TOKEN = re.compile(
    # The commonest come first, for speed: words, then blanks and punctuation.
    r"[a-z]+|[\s.,?:;()$'\"&|~_\[\]]+"
    # LaTeX: environments, commands, degrees.
    r"|\\(?:begin|end)\s*\{[^{}]*\}"
    r"|\\[a-z]+|\\[^a-z]"
    r"|\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))"
    # Exponents, as ^2, ^{10}, **2 or raised digits.
    rf"|(?:\^|(?<=[\w)])\*\*)\s*(?:\{{\s*-?\s*\d+\s*\}}|-?\d+)|(?:{_RAISED}[-\d])+"
    # Numbers: with separators of thousands, the single digits of \frac12, decimals.
    r"|\d{1,3}(?:(?:,|\{,\}|\\,|\\!)+\d{3})+(?!\d)(?:\.\d+)?"
    r"|(?<=frac)\d|(?<=frac )\d|\d+\.\d+|\d+"
    # Greek letters, Chinese and Japanese characters one by one, words of any other script.
    r"|[\u03b1-\u03c9]+|[\u3040-\u30ff\u3400-\u9fff]"
    r"|[^\W\d_\u03b1-\u03c9\u3040-\u30ff\u3400-\u9fff]+"
    # Operators; a hyphen between words and the asterisks around bold text are not.
    r"|<=|>=|!=|->|=>|(?<=[\w)])\*\*(?=[\w(])|(?<!\*)\*(?!\*)"
    r"|(?<![a-z]{2})-|-(?![a-z]{2})|[+/=<>^!%{}]"
)


def words_of(text: str) -> tuple[str, ...]:
    r"""The words of a text, without layout, punctuation and case.

    Numbers, variables and operators are words of their own: `2 + 3` and `2+3` are the same, `2-3`
    is not. `\frac{1}{2}`, `1/2` and `½` are the same, and so are `\sqrt2`, `√2` and `sqrt(2)`.
    """
    tokens = _infix(_TOKEN.findall(text.translate(_CHARACTERS)), str)
    return tuple(filter(None, map(_WORDS.__getitem__, tokens)))


def words_with_spans(text: str) -> list[tuple[str, int, int]]:
    """The same words, each with its start and end in the text, counted in characters."""
    # A character may be read as several; `origins` leads from each of these back to it.
    origins: list[int] = []
    for place, character in enumerate(text):
        origins += [place] * len(_CHARACTERS[ord(character)])

    tokens = _infix(list(_TOKEN.finditer(text.translate(_CHARACTERS))), re.Match.group)

    words = [
        (_WORDS[token[0]], origins[token.start()], origins[token.end() - 1] + 1) for token in tokens
    ]
    return [word for word in words if word[0]]


def is_number(word: str) -> bool:
    """Whether a word is a number, or a numeric exponent."""
    return word.lstrip("^-").replace(".", "", 1).isdigit()


# A data set has few different characters and words, so both tables fill once and then only look up.
class _Characters(dict[int, str]):
    """Code point -> what it is read as, found out once for each, as `str.translate` wants it."""

    def __missing__(self, code: int) -> str:
        self[code] = read = _read(chr(code))
        return read


class _Words(dict[str, str]):
    """Token -> the word that it stands for, found out once for each; layout stands for none."""

    def __missing__(self, token: str) -> str:
        self[token] = word = _word(token)
        return word


def _read(character: str) -> str:
    """A character without case, accent and width; a symbol by LaTeX's name."""
    parts = unicodedata.normalize("NFKD", UNICODE.get(character, character)).casefold()

    # "Mn" are combining marks: accents, which NFKD has put behind their letter.
    letters = [part for part in parts if unicodedata.category(part) != "Mn"]
    plain = "".join(UNICODE.get(letter, _digit(letter)) for letter in letters)

    # NFKD makes x² and x2 the same; the kind of the decomposition tells them apart.
    kind = unicodedata.decomposition(character).partition(" ")[0]
    is_digit = plain.isdigit()
    if kind == "<super>":
        return f"{_RAISED if is_digit or plain == '-' else '^'}{plain}"
    if kind == "<fraction>":
        return f" {plain} "
    if kind == "<sub>" and not is_digit:
        return f" {plain}"
    return plain


def _digit(character: str) -> str:
    """A digit of any script as 0 to 9."""
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _word(token: str) -> str:
    """The word that a token stands for; empty for layout and punctuation."""
    if token[0] in f"^*{_RAISED}" and len(token) > 1:
        return "degrees" if "circ" in token else "^" + re.sub(r"[^-\d]", "", token)
    if token[0] == "\\":
        command = token[1:]
        return COMMANDS.get(command, command if command.isalpha() else "")
    if token[0].isdigit():
        return re.sub(r"[^\d.]", "", token)
    return token if token[0].isalpha() or token[0] in _OPERATORS else ""


_CHARACTERS = _Characters()
_WORDS = _Words(PLAIN)


def _infix(tokens: list[Token], text: Callable[[Token], str]) -> list[Token]:
    """The tokens with LaTeX's fractions and binomials between their arguments, as in plain text."""
    texts = list(map(text, tokens))
    heads = [place for place, token in enumerate(texts) if token in INFIX]
    if not heads:
        return tokens

    # A head moves behind its first argument: half a place before the token that follows.
    closing = _closing_braces(texts)
    behind = {head: _argument_end(texts, head + 1, closing) - 0.5 for head in heads}
    order = sorted(range(len(tokens)), key=lambda place: behind.get(place, place))
    return [tokens[place] for place in order]


def _closing_braces(tokens: Sequence[str]) -> dict[int, int]:
    """Place of an opening brace -> place of its closing one."""
    found, opened = {}, []
    for place, sign in enumerate(tokens):
        if sign == "{":
            opened.append(place)
        elif sign == "}" and opened:
            found[opened.pop()] = place

    # Braces without a partner are left out: this is other people's LaTeX.
    return found


def _argument_end(tokens: Sequence[str], start: int, closing: dict[int, int]) -> int:
    """Where the argument that starts here ends: a group, a command with its group, or one token."""
    while start < len(tokens) and tokens[start].isspace():
        start += 1

    place = start
    if place < len(tokens) and tokens[place][0] == "\\":
        place += 1
    return closing.get(place, start) + 1
