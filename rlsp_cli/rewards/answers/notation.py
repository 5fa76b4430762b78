r"""One notation for answers: `\nicefrac34` and `{\bf 3/4}.` become LaTeX that a parser reads."""

import re

from rlsp_cli.rewards.answers.numerals import as_parsed
from rlsp_cli.rewards.answers.signs import in_latex

_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:(?:,?\\!\s?|\{,\}|\\[,;: ]|~|[ ])\d{3})+(?!\d)")
_SPACE = re.compile(
    r"(?<!\\)\\(?:[,;:!> ]|q?quad\b|(?:thin|med|thick|neg)space\b|hspace\*?\{[^{}]*\})|~"
)
_SIZE = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])\s?\.?"
    r"|\\[hv]?phantom\{[^{}]*\}"
)
_DOLLAR = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]")
_EDGE = re.compile(
    r"^(?:[\s`*]|\\\\|\{\})+|(?:[\s.,;:?`*]|\\+(?![^\s.,;:?`*\\])|\\tag\{[^{}]*\})+$"
)

_COLOUR = re.compile(
    r"\\(?:(?:text)?color(?:box)?|fcolorbox\s*(?:\[[^\[\]]*\])?\{[^{}]*\})\s*(?:\[[^\[\]]*\])?\{[^{}]*\}"
)
_SWITCH = re.compile(
    r"\\(?:bf|rm|it|sf|tt|em|bfseries|itshape|tiny|small|large|Large|LARGE|huge|Huge|normalsize|color)(?![A-Za-z])"
)
_FONT_NAME = (
    r"\\(?:text(?:bf|it|rm|sf|tt|sl|sc|normal|up)?|math(?:rm|bf|it|sf|tt|normal)|emph|mbox|hbox|underline|uline|bm|bold"
    r"|boldsymbol|pmb|operatorname\*?|boxed|fbox|framebox|ensuremath|cancel)\s*"
)
_FONT = re.compile(_FONT_NAME + r"\{([^{}]*)\}")
_FONT_OF_FORMULA = re.compile(_FONT_NAME + r"(?=\{)")
_TEXT = re.compile(r"(\\text\{[^{}]*\})")
_DEEPEST = 8
"""Fonts within fonts."""
_LEAD = re.compile(
    r"^\s*(?:\\text\{\s*)?(?:(?:the\s+)?(?:(?:final|correct)\s+)?answer\s*(?:is\b|:|=)\s*:?|\\(?:approx|sim)\b)(\s*\})?",
    re.IGNORECASE,
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
    "sin",
    "cos",
    "tan",
    "cot",
    "csc",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "ln",
    "log",
    "det",
)
_LETTERS = (
    "pi",
    "theta",
    "alpha",
    "beta",
    "gamma",
    "delta",
    "lambda",
    "sigma",
    "omega",
    "phi",
    "mu",
    "epsilon",
)
_PLAIN_NAME = re.compile(
    rf"(?<![A-Za-z\\])(?:({'|'.join(_FUNCTIONS + _LETTERS)})(?![A-Za-z])|(sec|max|min|gcd|lcm)(?=\())"
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
    r"""An answer in one notation: LaTeX without fonts, colours, sizes, dollar signs and a full stop at its end.

    Words stay, in `\text{}`. Numbers are digits without separators; powers of ten, mixed numbers
    and repeating decimals are products and fractions.
    """
    if "\\begin" not in text:
        text = re.sub(
            r"\\{2}(?=[A-Za-z])", r"\\", text
        )  # doubled by whoever wrote the text as a string
    text = in_latex(_CLOCK.sub(r"\1m", text).replace("...", "\\ldots "))
    text = re.sub(r"(?<=\\\\)\[[^\[\]]*\]", "", text)  # the height of a matrix's row
    return _layout(_functions(as_parsed(_commands(_fonts(_layout(text))))))


def bare(text: str) -> str:
    """An answer in one notation, without white space and the marks of words."""
    return "".join(_TEXT.sub(lambda m: m[0][6:-1], text).split())


def _layout(text: str) -> str:
    """Without what only moves or decorates, at the ends and inside."""
    text = _THOUSANDS.sub(lambda m: re.sub(r"\D", "", m[0]), text)
    text = _DOLLAR.sub("", _SIZE.sub("", _SPACE.sub(" ", text)))
    return _EDGE.sub(
        "", re.sub(r"(?<=[^\s.])[\s.,;:]+\}$", "}", text) if "\\text{" in text else text
    )


def _fonts(text: str) -> str:
    r"""Without fonts, frames and colours; words are in `\text{}`."""
    text = _SWITCH.sub(" ", _COLOUR.sub("", text))
    for _ in range(_DEEPEST):  # from the inside out
        text = _FONT.sub(_content, text)
    text = _FONT_OF_FORMULA.sub("", text).replace("\x01", "\\text{").replace("\x02", "}").strip()

    while text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        text = text[1:-1]
    return _LEAD.sub(
        lambda m: "\\text{" if m[0].lstrip().startswith("\\text") and not m[1] else "", text
    )


def _content(found: re.Match[str]) -> str:
    """What a font is about: words, which keep a mark for now, or a formula, which keeps none."""
    content, name = found[1], found[1].strip()
    if re.fullmatch(r",?\s*(?:and|or)", name):
        return " , "
    if found[0].startswith(("\\mathrm", "\\operatorname")) and name in (
        *_FUNCTIONS,
        "exp",
        "e",
        "i",
        "d",
    ):
        return f" \\{name} " if len(name) > 1 else name

    is_word = re.search(r"[A-Za-z]{2}", content) and not re.search(r"[\d\\=+*<>\x01]", content)
    behind_number = re.search(r"[\d}]\s*$", found.string[: found.start()][-9:])
    is_letter = (
        len(name) == 1
        and found[0].startswith(("\\text{", "\\mathrm{"))
        and (name.islower() or behind_number)
    )
    is_unit = re.fullmatch(r"[A-Za-z]+(?:\s*[/ ]\s*[A-Za-z]+)+\s*(?:\^\{?\d\}?)?", name)
    if is_word or is_letter or is_unit:
        return f"\x01{content}\x02"
    return f"{{{content}}}" if found.string[: found.start()].endswith(("^", "_")) else content


def _commands(text: str) -> str:
    """One command for each meaning, and braces around the parts of a fraction."""
    text = _COMMAND.sub(lambda m: _MEANT[m[1]] + " ", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d|\{)", r"\\frac{\1}\2", text)
    return re.sub(r"(\\frac\s*\{[^{}]*\})\s*(\d)", r"\1{\2}", text)


def _functions(text: str) -> str:
    """Names and operators of plain text as commands, but not within words."""
    for sign, command in _OPERATORS:
        text = text.replace(sign, command)
    text = "".join(
        part if part.startswith("\\text{") else _called(part) for part in _TEXT.split(text)
    )
    return re.sub(r",(?:\s*,)+", ",", text)


def _called(text: str) -> str:
    text = re.sub(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])", ",", text)
    text = re.sub(r"(?<![A-Za-z\\])inf(?:inity|ty)?(?![A-Za-z])", r"\\infty ", text)
    text = re.sub(r"(?<=[)\]])\s*U\s*(?=[(\[])", r"\\cup ", text)
    text = re.sub(r"(?<![A-Za-z\\])sqrt(?=\s*[\d{])", r"\\sqrt", text)
    while found := _CALL.search(text):
        end = _closing(text, found.end())
        text = text[: found.start()] + _CALLED[found[1]] % text[found.end() : end] + text[end + 1 :]

    text = re.sub(r"(?<![A-Za-z\\])d([a-z])/d([a-z])(?![A-Za-z])", r"\\frac{d\1}{d\2}", text)
    text = re.sub(r"\\log_\{?e\}?(?![A-Za-z])", r"\\ln ", text)
    return _PLAIN_NAME.sub(lambda m: f"\\{m[1] or m[2]} ", text)


def _closing(text: str, start: int) -> int:
    """Where the parenthesis closes that was opened before `start`."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    return len(text)
