"""Characters that LaTeX writes as commands: `\u221a3`, `x\u00b2`, `\u2265`, Greek letters."""

import re
import unicodedata

# Soft hyphens, zero-width blanks, marks of the writing direction (which would show an answer
# reversed), invisible operators and variation selectors.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0e\ufe0f\ufeff]")
_MEANT = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00b7\u22c5\u2219\u2022\u2027", "\\cdot "),
        **dict.fromkeys("\u2018\u2019\u2032\u02b9", "'"),
        **dict.fromkeys("\u201c\u201d\u2033", '"'),
        # Currencies (equality.py has looked at them before), ticks, and the Chinese full stop.
        **dict.fromkeys("\u20ac\u00a3\u00a5\u20b9\u2713\u2714\u2705\u3002", ""),
        # arithmetic
        "\u00d7": "\\times ",
        "\u00f7": "\\div ",
        "\u00b1": "\\pm ",
        "\u221e": "\\infty ",
        "\u00b0": "^\\circ ",
        # relations
        "\u2264": "\\le ",
        "\u2265": "\\ge ",
        "\u2260": "\\ne ",
        "\u2248": "\\approx ",
        "\u2261": "\\equiv ",
        # sets
        "\u222a": "\\cup ",
        "\u2229": "\\cap ",
        "\u2208": "\\in ",
        "\u2205": "\\emptyset ",
        "\u2192": "\\to ",
        "\u211d": "\\mathbb{R}",
        "\u2124": "\\mathbb{Z}",
        # others
        "\u22ef": "\\ldots ",
        "\u2026": "\\ldots ",
        "\u2202": "\\partial ",
    }
)
_RAISED = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u207f", "0123456789-n"
)
_LOWERED = str.maketrans(
    "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089", "0123456789"
)
_ROOT = re.compile("\u221a\\s*(\\w+(?:\\.\\d+)?|\\{[^{}]*\\}|\\([^()]*\\))")
_GREEK = re.compile("[\u0391-\u03c9]")


def in_latex(text: str) -> str:
    """The same text with commands for signs, in ASCII where all of them are known."""
    if text.isascii():
        return text

    # A digit with a line or a dot above repeats. Invisible characters go first, since one between
    # the digit and its mark would hide that.
    text = re.sub("(\\d)[\u0305\u0307]", r"\\bar{\1}", _INVISIBLE.sub("", text))
    text = re.sub(
        "[\u2070\u00b9\u00b2\u00b3\u2074-\u207f]+",
        lambda m: f"^{{{m[0].translate(_RAISED)}}}",
        text,
    )
    text = re.sub("[\u2080-\u2089]+", lambda m: f"_{{{m[0].translate(_LOWERED)}}}", text)
    text = re.sub("[\u00bc-\u00be\u2150-\u215e]", _fraction, text)
    text = _ROOT.sub(lambda m: f"\\sqrt{{{m[1].strip('{}()')}}}", text)
    text = _GREEK.sub(_letter, text.translate(_MEANT))

    # Last, because it would turn x\u00b2 into x2. It makes digits and letters of full width ASCII.
    return unicodedata.normalize("NFKC", text)


def _fraction(found: re.Match[str]) -> str:
    # NFKC writes \u00bd as 1\u20442, with the slash of fractions.
    above, _, below = unicodedata.normalize("NFKC", found[0]).partition("\u2044")
    return f"\\frac{{{above}}}{{{below}}}"


def _letter(found: re.Match[str]) -> str:
    # "GREEK SMALL LETTER LAMDA" is how Unicode spells it.
    name = unicodedata.name(found[0], "x").split()[-1].lower().replace("lamda", "lambda")
    return f"\\{name.capitalize() if found[0].isupper() else name} "
