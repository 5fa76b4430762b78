"""Equality of two answers: math-verify reads the formulas, and no part of an answer goes unread."""

import logging
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import starmap
from typing import Any

from rlsp_cli.rewards.answers.exact import (
    exact,
    is_equation,
    right_side,
    same_number,
    solutions,
    value,
)
from rlsp_cli.rewards.answers.notation import bare, normalised
from rlsp_cli.rewards.answers.pieces import pieces
from rlsp_cli.rewards.answers.units import same_counted, same_words

# It would warn on every call that its timeouts are off. They rest on signals, which only a main
# thread gets; the deadline is that of the worker process.
logging.getLogger("math_verify").setLevel(logging.ERROR)

_LONGEST = 3000
"""Characters of an answer that is parsed; longer ones are compared as text."""
_MOST = 10_000
"""The largest exponent, and the largest argument of a factorial, that is computed."""
_PRECISION = 50
"""Digits to which math-verify compares what we leave to it."""
_SIZE_DIGITS = 5
_ORDER_DIGITS = 8

# Whole numbers need no parser. Python converts no text of more than 4,300 digits.
_WHOLE = re.compile(r"[-+]?\d{1,4000}")
_BASE = re.compile(r"\d_\{?(\d+)")
_BRACKETS = {"()", "[]", "(]", "[)"}
_CHANGES = re.compile(
    r"""
      \b(?:
          or | and | not | no | but | except | without | if | when | unless     # another answer
        | than | more | less | fewer | least | most | above | below | over | under  # a bound
        | times | half | dozen | minus | plus | hundred                         # arithmetic
      )\b
    | ^\s*(?:squared|cubed|factorial)\b
    | \.\.\.
    | \|                                                          # two numbers side by side
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words behind a number that make another answer of it, as in "5 or more"."""
_HALF_READ = re.compile(r"\\(approx|lim\s*_)(\{[^{}]*\})?")
"""Of these math-verify reads one side, or nothing."""
_LABEL = re.compile(
    r"""
    (?: = | : | \bis | \bare
      | \bexactly | \bonly | \babout | \bapproximately | \bapprox\.? | \broughly
    ) \s*$
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CURRENCY = re.compile(r"\s*(?:\$?\\(?P<escaped>\$)|(?P<sign>[\u20ac\u00a3]|\$(?=[^$]*$)))")
_CURRENCIES = {"$": "dollars", "\u20ac": "euros", "\u00a3": "pounds"}
_ARTICLE = re.compile(r"\b(?:(?:an?|the)\s+|and\b)", re.IGNORECASE)


def same_answer(reference: str, answer: str) -> bool:
    """Whether an answer is the reference: as text, or as formulas with equal words between them."""
    # The parser's time grows faster than the text, and it recurses into every brace.
    if max(len(reference), len(answer)) > _LONGEST:
        return reference.strip() == answer.strip()

    # Before the rewriting, which drops the signs: 5 dollars are not 5 euros.
    currencies = _currency(reference), _currency(answer)
    reference, answer = normalised(reference), normalised(answer)
    if not reference or not answer or len({*currencies} - {""}) == 2:
        return False

    # As words they have to be the same, where math-verify would pass over what differs.
    if _HALF_READ.search(reference) and _HALF_READ.search(answer):
        reference, answer = (_HALF_READ.sub(_in_words, text) for text in (reference, answer))

    if bare(reference) == bare(answer):
        return True

    wanted, given = _unlabelled(pieces(reference)), _unlabelled(pieces(answer))
    if _is_quantity(wanted) and _is_quantity(given):
        return _same_quantity(wanted, given, currencies)
    return len(wanted) == len(given) and all(starmap(_same_piece, zip(wanted, given, strict=True)))


def number(text: str) -> float | None:
    """The number that an answer is, whatever its unit, or None. A percent sign divides by 100."""
    parts = _unlabelled(pieces(normalised(text[: _LONGEST + 1])))
    if len(text) > _LONGEST or not _is_quantity(parts):
        return None

    # math-verify ignores the base: 10_{7} would be ten.
    if {*_BASE.findall(parts[0])} - {"10"}:
        return None

    try:
        found = complex(value(right_side(_parse(parts[0]))))
    except (TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError):
        return None
    return found.real if not found.imag and math.isfinite(found.real) else None


def _in_words(found: re.Match[str]) -> str:
    return "\\text{" + re.sub(r"[\\{}]", " ", found[0]) + "}"


def _unlabelled(parts: list[str]) -> list[str]:
    r"""Without the words before a formula that only name it: `\text{Area} = 5` is 5."""
    if len(parts) > 2 and not parts[0].strip():
        rest = parts[2].lstrip()
        if _LABEL.search(parts[1]) or rest.startswith(("=", ":")):
            return [rest.lstrip("=: "), *parts[3:]]
    return parts


def _is_quantity(parts: list[str]) -> bool:
    """Whether it is one formula, followed by nothing but a unit or what is counted."""
    if len(parts) == 1 or not parts[0].strip():
        return len(parts) == 1

    return len(parts) == 3 and not parts[2].strip(" .,;") and not _CHANGES.search(parts[1])


def _currency(text: str) -> str:
    """The currency whose sign an answer begins with, or an empty text."""
    sign = _CURRENCY.match(text)
    return _CURRENCIES[sign["escaped"] or sign["sign"]] if sign else ""


def _same_quantity(
    wanted: list[str], given: list[str], currencies: tuple[str, str] = ("", "")
) -> bool:
    """Whether formulas are equal, and units where both have one, a currency's sign included."""
    said = [
        parts[1] if len(parts) == 3 else sign
        for parts, sign in zip((wanted, given), currencies, strict=True)
    ]
    units = [unit for unit in said if unit]

    # A time of day. As a formula it would be a ratio, and 1:30 the same as 2:60.
    if ":" in wanted[0] and any(_is_half_of_day(unit) for unit in units):
        same_time = bare(wanted[0]).lstrip("0") == bare(given[0]).lstrip("0")
        return same_time and (len(units) < 2 or same_words(*units))

    return _same_formula(wanted[0], given[0]) and (len(units) < 2 or same_counted(*units))


def _is_half_of_day(unit: str) -> bool:
    return same_words(unit, "am") or same_words(unit, "pm")


def _same_piece(wanted: str, given: str) -> bool:
    """Whether two formulas or two texts of an answer of several are the same."""
    wanted, given = (_ARTICLE.sub("", text).strip(" ,;:") for text in (wanted, given))
    if bare(wanted).lower() == bare(given).lower():
        return True

    return _same_formula(wanted, given) or same_words(wanted, given)


def _same_formula(wanted: str, given: str) -> bool:
    wanted, given = wanted.strip(" ,;:"), given.strip(" ,;:")
    if not wanted or not given or bare(wanted) == bare(given):
        return bool(wanted and given)

    # math-verify ignores the base of 10_{7}; an answer may leave out the reference's.
    bases = [_BASE.findall(text) for text in (wanted, given)]
    if bases[1] and bases[1] != (bases[0] or ["10"]):
        return False

    # It takes the interval [3, -4], whose ends are in the wrong order, for the point (3, -4).
    ends = [text[0] + text[-1] for text in (wanted, given) if "," in text]
    if len(ends) == 2 and ends[0] != ends[1] and {*ends} <= _BRACKETS:
        return False

    left, right = _parse(wanted), _parse(given)
    return left is not None and right is not None and _equal(left, right)


@lru_cache(maxsize=512)
def _parse(latex: str) -> Any:
    """The formula as an object of sympy; None where math-verify cannot read all of it."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse
    from sympy import Integer

    if _WHOLE.fullmatch(latex):
        return Integer(latex)

    # Units stay: math-verify would drop "cm" and with it what tells two answers apart.
    reading = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
    )

    # In a box, and without its fallback to the text: that would search a formula that it cannot
    # read for some number in it.
    config = LatexExtractionConfig(False, boxed_match_priority=0, normalization_config=reading)
    found = parse(
        f"\\boxed{{{latex}}}", [config], fallback_mode="no_fallback", parsing_timeout=None
    )
    return found[0] if found and not _is_endless(found[0]) else None


def _is_endless(expression: Any) -> bool:
    """Whether it contains a number that would take too long to compute: `(42!)!`, `9^{9^9}`."""
    from sympy import Pow, binomial, factorial, factorial2, postorder_traversal

    # From the inside out: with every inner size known to be small, evalf of the next one is fast.
    for part in postorder_traversal(expression):
        if isinstance(part, (Pow, binomial, factorial, factorial2)):
            size = part.args[-1]
            if size.is_number and bool(abs(size.evalf(_SIZE_DIGITS)) > _MOST):
                return True
    return False


def _equal(wanted: Any, given: Any) -> bool:
    """Whether two objects are equal.

    Numbers are compared here, also those in tuples, sets, matrices and intervals, since math-verify
    rounds them to six decimals. It compares everything else.
    """
    from latex2sympy2_extended.sets import FiniteSet
    from math_verify import verify
    from sympy import Eq, Expr, Interval, MatrixBase, Set, Tuple

    wanted, given = _without_name(wanted, given)

    # The interval (0, 1) may be written 0 < x < 1.
    if isinstance(wanted, Set):
        given = solutions(given)

    if isinstance(wanted, Eq) and isinstance(given, Eq):
        return _same_equation(wanted, given)
    for kind in (FiniteSet, Tuple):
        if isinstance(wanted, kind) and isinstance(given, kind):
            return _all_equal(wanted.args, given.args, ordered=kind is Tuple)
    if isinstance(wanted, MatrixBase) and isinstance(given, MatrixBase):
        return wanted.shape == given.shape and _all_equal(wanted.flat(), given.flat())
    if isinstance(wanted, Interval) and isinstance(given, Interval):
        # The ends, and which of them are open.
        return wanted.args[2:] == given.args[2:] and _all_equal(wanted.args[:2], given.args[:2])
    if all(isinstance(one, Expr) and one.is_number for one in (wanted, given)):
        return same_number(wanted, given)

    return bool(
        verify(exact(wanted), exact(given), numeric_precision=_PRECISION, timeout_seconds=None)
    )


def _all_equal(wanted: Sequence[Any], given: Sequence[Any], ordered: bool = True) -> bool:
    if len(wanted) != len(given):
        return False

    # sympy's own order of a set depends on how its elements are written: 0.5 or 1/2.
    if not ordered:
        wanted, given = sorted(wanted, key=_place), sorted(given, key=_place)
    return all(map(_equal, wanted, given))


def _place(expression: Any) -> Any:
    """A sort key of elements of a set, the same for equal ones."""
    from sympy import default_sort_key

    value = right_side(expression)
    return default_sort_key(value.evalf(_ORDER_DIGITS) if hasattr(value, "evalf") else value)


def _without_name(wanted: Any, given: Any) -> tuple[Any, Any]:
    """Drop the name of `x = 5` beside a side that is no equation; `x + y = 5` is kept."""
    from sympy import Eq

    if is_equation(given) and not is_equation(wanted):
        return wanted, right_side(given)
    if isinstance(wanted, Eq) and wanted.lhs.is_Symbol and not is_equation(given):
        return wanted.rhs, given
    return wanted, given


def _same_equation(wanted: Any, given: Any) -> bool:
    """Whether both sides agree, or one equation is a multiple of the other, or solutions agree."""
    from math_verify import verify
    from sympy import simplify, solve

    if wanted.lhs == given.lhs:
        return _equal(wanted.rhs, given.rhs)
    wanted, given = exact(wanted), exact(given)
    try:
        ratio = simplify((wanted.lhs - wanted.rhs) / (given.lhs - given.rhs))
        if ratio.is_number:
            return bool(ratio.is_nonzero)

        # math-verify takes two equations without any solution for the same.
        if not solve(given, given.free_symbols):
            return False
    except (TypeError, NotImplementedError):
        # Sides that cannot be subtracted or solved for, such as sets.
        return _equal(wanted.lhs, given.lhs) and _equal(wanted.rhs, given.rhs)

    return bool(verify(wanted, given, timeout_seconds=None))
