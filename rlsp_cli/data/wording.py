"""The words of a problem in one spelling: LaTeX, Unicode and plain text that mean the same give the same words."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

Token = TypeVar("Token")

_SIGNS = (
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u00d7\u22c5\u00b7\u2219\u2217", "*")
    | dict.fromkeys("\u00f7\u2215\u2044", "/")
    | dict.fromkeys("\u2264\u2a7d\u2266", "<=")
    | dict.fromkeys("\u2265\u2a7e\u2267", ">=")
    | dict.fromkeys("\u2192\u27f6\u21d2", "->")
    | {"\u2260": "!=", "\u00b1": "+-", "\u221a": " sqrt ", "\u221b": " sqrt 3 ", "\u00b0": " degrees "}
    | {"\u221e": " infty ", "\u2208": " in ", "\u2209": " notin ", "\u222a": " cup ", "\u2229": " cap "}
    | {
        "\u2282": " subset ",
        "\u2286": " subseteq ",
        "\u2205": " emptyset ",
        "\u2220": " angle ",
        "\u25b3": " triangle ",
    }
    | {"\u22a5": " perp ", "\u2225": " parallel ", "\u2261": " equiv ", "\u2248": " approx ", "\u2245": " cong "}
    | {"\u223c": " sim ", "\u2211": " sum ", "\u220f": " prod ", "\u222b": " int ", "\u2202": " partial "}
    | {"\u2252": " approx ", "\u224c": " cong ", "\u223d": " sim ", "\u066b": ".", "\u066c": ","}
    | {"\u2207": " nabla ", "\u2200": " forall ", "\u2203": " exists ", "\u2227": " land ", "\u2228": " lor "}
    | {"\u00ac": " neg ", "\u230a": " lfloor ", "\u230b": " rfloor ", "\u2308": " lceil ", "\u2309": " rceil "}
)
"""Unicode's operators, as LaTeX calls them."""
_RAISED = "\x02"
"""Before each raised digit or minus: several of them are one exponent."""

_LAYOUT = (
    "quad qquad left right middle big bigg bigl bigr displaystyle textstyle limits nolimits text textbf textit textrm "
    "textsf texttt emph mathrm mathbf mathit mathsf mathbb mathcal mathop operatorname mbox hbox hspace vspace "
    "overline underline vec hat bar boldsymbol ldots dots cdots vdots ddots noindent begin end"
)
_SAME = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "over": "/", "le": "<=", "leq": "<=", "leqslant": "<=",
    "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=", "neq": "!=", "pm": "+-", "lt": "<", "gt": ">",
    "to": "->", "rightarrow": "->", "implies": "->", "wedge": "land", "vee": "lor", "lnot": "neg",
    "varnothing": "emptyset", "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho",
    "pmod": "mod", "bmod": "mod", "circ": "circ", "frac": "/", "dfrac": "/", "tfrac": "/", "cfrac": "/",
    "binom": "choose", "dbinom": "choose", "tbinom": "choose",
}  # fmt: skip
_COMMANDS = dict.fromkeys(_LAYOUT.split(), "") | _SAME | {"%": "%"}
_BETWEEN = frozenset(f"\\{name}" for name in ("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom"))
"""Commands that LaTeX writes before their two arguments, and everybody else between them."""

_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_GREEK = dict(
    zip("αβγδεζηθικλμνξοπρστυφχψω", _GREEK_NAMES.split(), strict=True),
)
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_PLAIN = (
    {word: str(number) for number, word in enumerate(_NUMBERS.split()) if word != "one"}
    | {"infinity": "infty", "percent": "%", "tg": "tan", "ctg": "cot", "arctg": "arctan", "lg": "log"}
    | dict(zip("二三四五六七八九十百千", ("2", "3", "4", "5", "6", "7", "8", "9", "10", "100", "1000"), strict=True))
    | {"=>": "->", "**": "^", "{": "", "}": ""}
    | _GREEK
)
"""Words that are written otherwise elsewhere. `one` is no number: it is a pronoun too often."""

_TOKEN = re.compile(
    r"[a-z]+|[\s.,?:;()$'\"&|~_\[\]]+"
    r"|\\(?:begin|end)\s*\{[^{}]*\}"
    r"|\\[a-z]+|\\[^a-z]"
    r"|\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))"
    rf"|(?:\^|(?<=[\w)])\*\*)\s*(?:\{{\s*-?\s*\d+\s*\}}|-?\d+)|(?:{_RAISED}[-\d])+"
    r"|\d{1,3}(?:(?:,|\{,\}|\\,|\\!)+\d{3})+(?!\d)(?:\.\d+)?"
    r"|(?<=frac)\d|(?<=frac )\d|\d+\.\d+|\d+"
    r"|[\u03b1-\u03c9]+|[\u3040-\u30ff\u3400-\u9fff]"
    r"|[^\W\d_\u03b1-\u03c9\u3040-\u30ff\u3400-\u9fff]+"
    r"|<=|>=|!=|->|=>|(?<=[\w)])\*\*(?=[\w(])|(?<!\*)\*(?!\*)"
    r"|(?<![a-z]{2})-|-(?![a-z]{2})|[+/=<>^!%{}]"
)
"""The commonest come first, for speed. A hyphen between words and the asterisks around bold text are no tokens."""


class _Letters(dict[int, str]):
    """What each letter is read as: without case, accents and widths; operators by LaTeX's names."""

    def __missing__(self, code: int) -> str:
        self[code] = read = _read(chr(code))
        return read


class _Names(dict[str, str]):
    """The word that a token stands for; empty for layout."""

    def __missing__(self, token: str) -> str:
        self[token] = name = _name(token)
        return name


def _read(letter: str) -> str:
    kind = unicodedata.decomposition(letter).partition(" ")[0]
    parts = unicodedata.normalize("NFKD", _SIGNS.get(letter, letter)).casefold()
    plain = "".join(_SIGNS.get(part, _digit(part)) for part in parts if unicodedata.category(part) != "Mn")
    if kind == "<super>":
        return f"{_RAISED if plain.isdigit() or plain == '-' else '^'}{plain}"
    if kind == "<fraction>":
        return f" {plain} "
    return f" {plain}" if kind == "<sub>" and not plain.isdigit() else plain


def _digit(letter: str) -> str:
    """A digit of any script as 0 to 9."""
    value = unicodedata.decimal(letter, None)
    return letter if value is None else str(value)


def _name(token: str) -> str:
    if token[0] in f"^*{_RAISED}" and len(token) > 1:
        return "degrees" if "circ" in token else "^" + re.sub(r"[^-\d]", "", token)
    if token[0] == "\\":
        command = token[1:]
        return _COMMANDS.get(command, command if command.isalpha() else "")
    if token[0].isdigit():
        return re.sub(r"[^\d.]", "", token)
    return token if token[0].isalpha() or token[0] in _OPERATORS else ""


_OPERATORS = "-+*/=<>^!%"
_LETTERS = _Letters()
_WORDS = _Names(_PLAIN)


def words_of(text: str) -> tuple[str, ...]:
    r"""The words of a text, without layout, punctuation and case.

    Numbers, letters and operators are words of their own: `2 + 3` and `2+3` are the same, `2-3` is not; `\frac{1}{2}`,
    `1/2` and `½` are the same, and so are `\sqrt2`, `√2` and `sqrt(2)`.
    """
    tokens = _in_order(_TOKEN.findall(text.translate(_LETTERS)), str)
    return tuple(filter(None, map(_WORDS.__getitem__, tokens)))


def is_number(word: str) -> bool:
    """Whether a word is a number, or a numeric exponent."""
    return word.lstrip("^-").replace(".", "", 1).isdigit()


def placed_words(text: str) -> list[tuple[str, int, int]]:
    """The same words, each with its start and end in the text."""
    places = [place for place, letter in enumerate(text) for _ in _LETTERS[ord(letter)]]
    tokens = _in_order(list(_TOKEN.finditer(text.translate(_LETTERS))), re.Match.group)
    words = [(_WORDS[token[0]], places[token.start()], places[token.end() - 1] + 1) for token in tokens]
    return [word for word in words if word[0]]


def _in_order(tokens: list[Token], text: Callable[[Token], str]) -> list[Token]:
    """The tokens as they are read: what LaTeX writes before its two arguments comes between them."""
    texts = list(map(text, tokens))
    heads = [place for place, token in enumerate(texts) if token in _BETWEEN]
    if not heads:
        return tokens
    closing = _closing(texts)
    behind = {head: _end(texts, head + 1, closing) - 0.5 for head in heads}
    return [tokens[place] for place in sorted(range(len(tokens)), key=lambda place: behind.get(place, place))]


def _closing(tokens: Sequence[str]) -> dict[int, int]:
    """Opening brace -> its closing one."""
    found, opened = {}, []
    for place, sign in enumerate(tokens):
        if sign == "{":
            opened.append(place)
        elif sign == "}" and opened:
            found[opened.pop()] = place
    return found


def _end(tokens: Sequence[str], start: int, closing: dict[int, int]) -> int:
    """Where the argument that starts here ends: a group, a command with its group, or one token."""
    while start < len(tokens) and tokens[start].isspace():
        start += 1
    place = start
    if place < len(tokens) and tokens[place][0] == "\\":
        place += 1
    return closing.get(place, start) + 1
