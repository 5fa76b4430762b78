r"""One notation for answers: `\nicefrac34` and `{\bf 3/4}.` become LaTeX that a parser reads."""

import re

from rlsp_cli.rewards.answers.numerals import as_parsed
from rlsp_cli.rewards.answers.signs import in_latex

# Groups of three digits with any separator but a comma alone, which also separates the answers
# of a list.
_THOUSANDS = re.compile(
    r"""
    (?<![\d.]) \d{1,3}
    (?: (?: ,?\\!\s? | \{,\} | \\[,;:\x20] | ~ | \x20 ) \d{3} )+
    (?!\d)
    """,
    re.VERBOSE,
)
_SPACE = re.compile(
    r"""
    (?<!\\) \\                                 # \\ ends the row of a matrix
    (?: [,;:!>\x20]
      | q?quad\b
      | (?:thin|med|thick|neg)space\b
      | hspace\*?\{[^{}]*\}
    )
    | ~
    """,
    re.VERBOSE,
)
_SIZE = re.compile(
    r"""
      \\(?: left | right | middle | [bB]igg?[lrm]?
          | displaystyle | textstyle | limits | nolimits
      )(?![A-Za-z]) \s?\.?                      # the full stop is an invisible bracket
    | \\[hv]?phantom\{[^{}]*\}                  # invisible, so it is no part of an answer
    """,
    re.VERBOSE,
)
_DOLLAR = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]")
_EDGE = re.compile(
    r"""
      ^ (?: [\s`*] | \\\\ | \{\} )+
    | (?: [\s.,;:?`*]                           # but not "!", which is a factorial
        | \\+(?![^\s.,;:?`*\\])                # a backslash with nothing behind it
        | \\tag\{[^{}]*\}
      )+ $
    """,
    re.VERBOSE,
)

_COLOUR = re.compile(
    r"""
    \\(?: (?:text)?color(?:box)? | fcolorbox\s*(?:\[[^\[\]]*\])?\{[^{}]*\} )
    \s* (?:\[[^\[\]]*\])? \{[^{}]*\}          # a colour model, and the colour
    """,
    re.VERBOSE,
)
_SWITCH = re.compile(
    r"""
    \\(?: bf | rm | it | sf | tt | em | bfseries | itshape
        | tiny | small | large | Large | LARGE | huge | Huge | normalsize | color
    )(?![A-Za-z])
    """,
    re.VERBOSE,
)
"""Commands without an argument, which hold up to the end of their group."""
_FONT_NAME = (
    r"\\(?:text(?:bf|it|rm|sf|tt|sl|sc|normal|up)?|math(?:rm|bf|it|sf|tt|normal)"
    r"|bm|bold|boldsymbol|pmb"
    r"|emph|mbox|hbox|underline|uline|operatorname\*?|boxed|fbox|framebox|ensuremath|cancel)\s*"
)
_FONT = re.compile(_FONT_NAME + r"\{([^{}]*)\}")
_FONT_OF_FORMULA = re.compile(_FONT_NAME + r"(?=\{)")
_TEXT = re.compile(r"(\\text\{[^{}]*\})")
_WORDS_BEGIN, _WORDS_END = "\x01", "\x02"
"""Stand for `\\text{` and `}` while fonts are removed: no pattern for a font may find them."""
_NEAR = 9
"""Characters before a letter in which a number is looked for."""
_DEEPEST = 8
"""Levels of fonts within fonts that are read."""
_LEAD = re.compile(
    r"""
    ^\s* (?:\\text\{\s*)?
    (?: (?:the\s+)? (?:(?:final|correct)\s+)? answer\s*(?:is\b|:|=)\s*:?
      | \\(?:approx|sim)\b
    )
    (\s*\})?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CLOCK = re.compile(r"(?<![A-Za-z])([AaPp])\.\s?[mM]\b\.?")

_MEANT = {
    name: meant
    for names, meant in (
        ("nicefrac sfrac tfrac cfrac dfrac flatfrac", "\\frac"),
        ("leqslant leq", "\\le"),
        ("geqslant geq", "\\ge"),
        ("lt", "<"),
        ("gt", ">"),
        ("neq", "\\ne"),
        ("equiv", "="),
        ("dots cdots dotsc dotsb", "\\ldots"),
        ("varnothing", "\\emptyset"),
        ("degree degrees", "^\\circ"),
        ("ast bullet", "\\cdot"),
        ("colon", ":"),
        ("varepsilon", "\\epsilon"),
        ("vartheta", "\\theta"),
        ("varphi", "\\phi"),
        ("bigcup", "\\cup"),
        ("lbrace", "\\{"),
        ("rbrace", "\\}"),
        ("lvert rvert vert", "|"),
        ("checkmark euro pounds hfill square blacksquare", ""),
    )
    for name in names.split()
}
_COMMAND = re.compile(rf"\\({'|'.join(sorted(_MEANT, key=len, reverse=True))})(?![A-Za-z])")

_FUNCTIONS = (
    *("sin", "cos", "tan", "cot", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
    *("ln", "log", "det"),
)
_LETTERS = (
    *("pi", "theta", "alpha", "beta", "gamma", "delta"),
    *("lambda", "sigma", "omega", "phi", "mu", "epsilon"),
)
_UPRIGHT = (*_FUNCTIONS, "exp", "e", "i", "d")
"""What is set upright in a formula and is no word: functions, and the constants of some authors."""

# A second, the largest and so on are words too, so these need their parenthesis.
_PLAIN_NAME = re.compile(
    rf"(?<![A-Za-z\\])(?:({'|'.join(_FUNCTIONS + _LETTERS)})(?![A-Za-z])"
    r"|(sec|max|min|gcd|lcm)(?=\())"
)
_CALL = re.compile(r"(?<![A-Za-z])\\?(sqrt|exp|cbrt|abs)\s*\(")
_CALLED = {"sqrt": "\\sqrt{%s}", "exp": "e^{%s}", "cbrt": "\\sqrt[3]{%s}", "abs": "|%s|"}
_OPERATORS = (
    ("**", "^"),
    ("<=", "\\le "),
    (">=", "\\ge "),
    ("!=", "\\ne "),
    ("+-", "\\pm "),
    ("+/-", "\\pm "),
)


def normalised(text: str) -> str:
    r"""An answer in one notation: LaTeX without fonts, colours, sizes and dollar signs.

    Words stay, in `\text{}`. Numbers are digits without separators; powers of ten, mixed numbers
    and repeating decimals are products and fractions.
    """
    # Models double backslashes as if they wrote a string; in a matrix two of them end a row.
    if "\\begin" not in text:
        text = re.sub(r"\\{2}(?=[A-Za-z])", r"\\", text)

    # Dots first, before the end of an answer loses its full stop.
    text = in_latex(_CLOCK.sub(r"\1m", text).replace("...", "\\ldots "))
    text = re.sub(r"(?<=\\\\)\[[^\[\]]*\]", "", text)  # the height of a matrix's row

    # The layout twice: what stood within a font may be decoration as well.
    return _layout(_functions(as_parsed(_commands(_fonts(_layout(text))))))


def bare(text: str) -> str:
    r"""An answer in one notation, without white space and without the `\text{}` around words."""
    plain = _TEXT.sub(lambda m: m[0].removeprefix("\\text{").removesuffix("}"), text)
    return "".join(plain.split())


def _layout(text: str) -> str:
    """Without spacing, sizes, dollar signs, and punctuation at the ends."""
    # Before spaces are removed, which separate thousands as well.
    text = _THOUSANDS.sub(lambda m: re.sub(r"\D", "", m[0]), text)
    text = _DOLLAR.sub("", _SIZE.sub("", _SPACE.sub(" ", text)))

    # The full stop may stand within the last words: \text{5 apples.}
    if "\\text{" in text:
        text = re.sub(r"(?<=[^\s.])[\s.,;:]+\}$", "}", text)
    return _EDGE.sub("", text)


def _fonts(text: str) -> str:
    r"""Without fonts, frames and colours; words are in `\text{}`."""
    # Colours first: `color` is a switch, too, where no colour follows in braces.
    text = _SWITCH.sub(" ", _COLOUR.sub("", text))

    # From the inside out: the pattern takes no braces within braces.
    for _ in range(_DEEPEST):
        text = _FONT.sub(_content, text)
    text = _FONT_OF_FORMULA.sub("", text)
    text = text.replace(_WORDS_BEGIN, "\\text{").replace(_WORDS_END, "}").strip()

    while text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        text = text[1:-1]
    return _LEAD.sub(_without_lead, text)


def _without_lead(found: re.Match[str]) -> str:
    r"""Nothing, or the `\text{` that the words behind "answer is" still need."""
    is_within_words = found[0].lstrip().startswith("\\text") and not found[1]
    return "\\text{" if is_within_words else ""


def _content(found: re.Match[str]) -> str:
    """The argument of a font: words stay marked as such, a formula stands for itself."""
    content, name = found[1], found[1].strip()
    if re.fullmatch(r",?\s*(?:and|or)", name):
        return " , "
    if found[0].startswith(("\\mathrm", "\\operatorname")) and name in _UPRIGHT:
        return f" \\{name} " if len(name) > 1 else name

    before = found.string[: found.start()]
    is_word = re.search(r"[A-Za-z]{2}", content) and not re.search(r"[\d\\=+*<>\x01]", content)

    # \text{m} is a metre, but \text{A} a point or a choice, unless a number stands before it.
    is_behind_number = re.search(r"[\d}]\s*$", before[-_NEAR:])
    is_letter = (
        len(name) == 1
        and found[0].startswith(("\\text{", "\\mathrm{"))
        and (name.islower() or is_behind_number)
    )
    is_unit = re.fullmatch(r"[A-Za-z]+(?:\s*[/ ]\s*[A-Za-z]+)+\s*(?:\^\{?\d\}?)?", name)
    if is_word or is_letter or is_unit:
        return f"{_WORDS_BEGIN}{content}{_WORDS_END}"

    # Without braces, an exponent of two characters would lose its second.
    return f"{{{content}}}" if before.endswith(("^", "_")) else content


def _commands(text: str) -> str:
    """One command for each meaning, and braces around the parts of a fraction."""
    text = _COMMAND.sub(lambda m: _MEANT[m[1]] + " ", text)

    # \frac12 and \frac1{12}, then \frac{1}2.
    text = re.sub(r"\\frac\s*(\d)\s*(\d|\{)", r"\\frac{\1}\2", text)
    return re.sub(r"(\\frac\s*\{[^{}]*\})\s*(\d)", r"\1{\2}", text)


def _functions(text: str) -> str:
    """Names and operators of plain text as commands, but not within words."""
    for sign, command in _OPERATORS:
        text = text.replace(sign, command)

    parts = _TEXT.split(text)
    text = "".join(part if part.startswith("\\text{") else _called(part) for part in parts)

    # "2, and 3" has become "2, , 3".
    return re.sub(r",(?:\s*,)+", ",", text)


def _called(text: str) -> str:
    """Names, calls and derivatives of a formula in plain text as LaTeX."""
    text = re.sub(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])", ",", text)
    text = re.sub(r"(?<![A-Za-z\\])inf(?:inity|ty)?(?![A-Za-z])", r"\\infty ", text)
    text = re.sub(r"(?<=[)\]])\s*U\s*(?=[(\[])", r"\\cup ", text)
    text = re.sub(r"(?<![A-Za-z\\])sqrt(?=\s*[\d{])", r"\\sqrt", text)

    # One at a time: a call may stand within another, whose parenthesis closes later.
    while found := _CALL.search(text):
        end = _closing(text, found.end())
        text = text[: found.start()] + _CALLED[found[1]] % text[found.end() : end] + text[end + 1 :]

    text = re.sub(r"(?<![A-Za-z\\])d([a-z])/d([a-z])(?![A-Za-z])", r"\\frac{d\1}{d\2}", text)
    text = re.sub(r"\\log_\{?e\}?(?![A-Za-z])", r"\\ln ", text)
    return _PLAIN_NAME.sub(lambda m: f"\\{m[1] or m[2]} ", text)


def _closing(text: str, start: int) -> int:
    """Where the parenthesis opened before `start` closes; the end of the text if it never does."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    return len(text)
