"""Tables of symbols that mean the same in LaTeX, in Unicode and in plain text.

LaTeX's name of a symbol stands for all of its spellings.
"""

_UNICODE_WORDS = {
    "\u221a": "sqrt", "\u221b": "sqrt 3", "\u00b0": "degrees", "\u221e": "infty",
    "\u2208": "in", "\u2209": "notin", "\u222a": "cup", "\u2229": "cap", "\u2282": "subset",
    "\u2286": "subseteq", "\u2205": "emptyset", "\u2220": "angle", "\u25b3": "triangle",
    "\u22a5": "perp", "\u2225": "parallel", "\u2261": "equiv", "\u2248": "approx",
    "\u2252": "approx", "\u2245": "cong", "\u224c": "cong", "\u223c": "sim", "\u223d": "sim",
    "\u2211": "sum", "\u220f": "prod", "\u222b": "int", "\u2202": "partial", "\u2207": "nabla",
    "\u2200": "forall", "\u2203": "exists", "\u2227": "land", "\u2228": "lor", "\u00ac": "neg",
    "\u230a": "lfloor", "\u230b": "rfloor", "\u2308": "lceil", "\u2309": "rceil",
}  # fmt: skip
_UNICODE_OPERATORS = (
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u00d7\u22c5\u00b7\u2219\u2217", "*")
    | dict.fromkeys("\u00f7\u2215\u2044", "/")
    | dict.fromkeys("\u2264\u2a7d\u2266", "<=")
    | dict.fromkeys("\u2265\u2a7e\u2267", ">=")
    | dict.fromkeys("\u2192\u27f6\u21d2", "->")
    | {"\u2260": "!=", "\u00b1": "+-", "\u066b": ".", "\u066c": ","}
)
UNICODE = _UNICODE_OPERATORS | {symbol: f" {word} " for symbol, word in _UNICODE_WORDS.items()}
"""Unicode's mathematical symbols; blanks around words keep them words of their own."""

_LAYOUT = (
    "quad qquad left right middle big bigg bigl bigr displaystyle textstyle limits nolimits "
    "text textbf textit textrm textsf texttt emph mathrm mathbf mathit mathsf mathbb mathcal "
    "mathop operatorname mbox hbox hspace vspace overline underline vec hat bar boldsymbol "
    "ldots dots cdots vdots ddots noindent begin end"
)
_SYNONYMS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "over": "/", "le": "<=", "leq": "<=",
    "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "ne": "!=", "neq": "!=",
    "pm": "+-", "lt": "<", "gt": ">", "to": "->", "rightarrow": "->", "implies": "->",
    "wedge": "land", "vee": "lor", "lnot": "neg", "varnothing": "emptyset",
    "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho",
    "pmod": "mod", "bmod": "mod", "circ": "circ", "frac": "/", "dfrac": "/", "tfrac": "/",
    "cfrac": "/", "binom": "choose", "dbinom": "choose", "tbinom": "choose",
}  # fmt: skip
COMMANDS = dict.fromkeys(_LAYOUT.split(), "") | _SYNONYMS | {"%": "%"}
"""LaTeX's commands without their backslash; those of layout mean nothing."""
INFIX = frozenset(
    f"\\{name}" for name in ("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom")
)
"""Commands that LaTeX writes before their two arguments, and plain text between them."""

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "sigma tau upsilon phi chi psi omega"
)
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
_CHINESE = {
    "二": "2", "三": "3", "四": "4", "五": "5", "六": "6", "七": "7", "八": "8", "九": "9", "十": "10",
    "百": "100", "千": "1000",
}  # fmt: skip
PLAIN = (
    # `one` is left out: it is a pronoun too often.
    {word: str(number) for number, word in enumerate(_NUMBERS.split()) if word != "one"}
    | {
        "infinity": "infty",
        "percent": "%",
        "tg": "tan",
        "ctg": "cot",
        "arctg": "arctan",
        "lg": "log",
    }
    | {"=>": "->", "**": "^", "{": "", "}": ""}
    | dict(zip("αβγδεζηθικλμνξοπρστυφχψω", _GREEK.split(), strict=True))
    | _CHINESE
)
"""Words of plain text that have another spelling elsewhere."""
