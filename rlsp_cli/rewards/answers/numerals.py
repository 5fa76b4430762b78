r"""Rewrite numbers for the LaTeX parser: `3.2e5`, `2 3/4`, `0.\overline{12}`, `5 million`."""

import re
from collections.abc import Callable
from fractions import Fraction

_DEGREES = {None: "degree", "C": "celsius", "F": "fahrenheit"}
_LARGE = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}


def _repeating(found: re.Match[str]) -> str:
    """The fraction of a repeating decimal."""
    whole, start, *blocks = found.groups()
    block = next(filter(None, blocks))

    # 0.1(6) = 1/10 + 6 / (10 * 9): a block of n digits over as many nines.
    tail = Fraction(int(block), 10 ** len(start) * (10 ** len(block) - 1))
    value = int(whole or 0) + Fraction(int(start or 0), 10 ** len(start)) + tail
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _primes(found: re.Match[str]) -> str:
    """An index for the marks of a derivative, which the parser would drop."""
    return f"_{{{'prime' * (found[0].count(chr(39)) + found[0].count('prime'))}}}"


_DECIMAL = r"(?<![\w.])(\d*)\.(\d*"
# In this order: percent signs and repeating decimals before anything that looks for digits.
_REWRITES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # percent in words and in signs
    (
        r"\s*(?:\\text\{\s*(?:per ?cent(?:age)?|pct)\s*\}"
        r"|(?<![A-Za-z{])(?:per ?cent(?:age)?|pct)\b)|(?<!\\)%",
        r"\\%",
    ),
    # repeating decimals: 0.\dot{1}4\dot{3}, 0.\overline{12}, 0.(3), 0.333...; other dots behind a
    # decimal mean that it was cut off
    (r"(\.\d*)\\dot\{?(\d)\}?(\d*)\\dot\{?(\d)\}?", r"\1\\bar{\2\3\4}"),
    (
        _DECIMAL + r")(?:\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))|\((\d+)\)(?![\d(]))",
        _repeating,
    ),
    (_DECIMAL + r"?)(\d{1,6}?)\3{2,}\s*\\ldots", _repeating),
    (r"(\d\.\d+)\s*\\ldots", r"\1"),
    # powers of ten, which the parser reads as a product with the variable e
    (r"(?<![\w\\.])(\d+\.?\d*|\.\d+)[eE]\+?(-?)0*(\d{1,4})(?![\w.^])", r"\1 \\times 10^{\2\3}"),
    (
        rf"(?<=\d)\s*(\\text\{{\s*)?(?i:({'|'.join(_LARGE)}))\b",
        lambda m: f" \\times 10^{{{_LARGE[m[2].lower()]}}} {m[1] or ''}",
    ),
    (r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r" \\times "),
    # mixed numbers, and products that the parser takes for mixed numbers
    (r"(?<![\d./^_}])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d/.])", r"\1\\frac{\2}{\3}"),
    (r"(?<![_\d^{.])(\d+)\s*(?=\(\s*-?[\d.]+\s*\))", r"\1\\cdot "),
    (r"\^\s*([-+]\s*(?:\d+|[A-Za-z]\b))", r"^{\1}"),
    # feet and inches, before the same marks count as derivatives
    (r"(\d)'\s*(\d+)\"", r"\1\\text{feet}\2\\text{inches}"),
    # derivatives, residues, temperatures, angles
    (r"(?<=[A-Za-z)])\s*(?:'+(?![A-Za-z])|\^\{?(?:\\prime\s*)+\}?)", _primes),
    (
        r"\(?\s*(?:\\[pb]?mod|\\text\{\s*mod\s*\}|(?<![A-Za-z{\\])mod)(?![A-Za-z])"
        r"\s*\{?\s*(\w+)\s*\}?\s*\)?",
        r"\\text{mod \1}",
    ),
    (
        r"\^\s*\{?\s*\\circ\s*\}?\s*(?:(?=\d)|(?:\\text\{\s*)?([CF])(?![A-Za-z])\s*\}?)",
        lambda m: f"\\text{{{_DEGREES[m[1]]}}}",
    ),
    (r"^([-+]?[\d.]+)\s*\^\s*\{?\s*\\circ\s*\}?$", r"\1\\text{degree}"),
    # vectors, the imaginary unit as a factor
    (r"^\\langle([^<>]*,[^<>]*)\\rangle$", r"(\1)"),
    (r"(?<=\d)\s*(?:\\cdot|\\times|\*)\s*i(?![A-Za-z])", "i"),
    # units in a fraction, bases behind parentheses
    (
        r"\\frac\s*\{\s*\\text\{([^{}]*)\}\s*\}\s*\{\s*\\text\{([^{}]*)\}([^{}]*)\}",
        r"\\text{\1/\2}\3",
    ),
    (r"\((\w+)\)(?=_\{?\d)", r"\1"),
    # other numbers side by side, which the parser would add up
    (r"(?<![\d_^])(\d+)\s+(?=\d)", r"\1\\text{|}"),
)
_COMPILED = tuple((re.compile(pattern), meant) for pattern, meant in _REWRITES)


def as_parsed(text: str) -> str:
    """A formula with numbers as fractions and products, and words for what the parser drops."""
    for pattern, meant in _COMPILED:
        text = pattern.sub(meant, text)

    # A ratio of three or a time of day, where the parser would divide.
    if re.search(r":[^=:]*:", text):
        text = text.replace(":", "\\text{:}")
    return text
