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

logging.getLogger("math_verify").setLevel(
    logging.ERROR
)  # it warns on every call that its own timeouts are off

_LONGEST = 3000
"""Characters of an answer that is read; of longer ones the text is compared."""
_MOST = 10_000
"""Factors of a power or a factorial."""
_WHOLE = re.compile(r"[-+]?\d{1,4000}")
_BASE = re.compile(r"\d_\{?(\d+)")
_BRACKETS = {"()", "[]", "(]", "[)"}
_CHANGES = re.compile(
    r"\b(?:or|and|not|no|than|more|less|fewer|least|most|above|below|over|under|if|when|unless|except|but|without|times"
    r"|half|dozen|minus|plus|hundred)\b|^\s*(?:squared|cubed|factorial)\b|\.\.\.|\|",
    re.IGNORECASE,
)
"""Words that make another answer of the number which they stand beside."""
_HALF_READ = re.compile(r"\\(approx|lim\s*_)(\{[^{}]*\})?")
"""What math-verify reads one side of, or nothing."""
_LABEL = re.compile(
    r"(?:=|:|\bis|\bare|\bexactly|\bonly|\babout|\bapproximately|\bapprox\.?|\broughly)\s*$",
    re.IGNORECASE,
)
_CURRENCY = re.compile(r"\s*(?:\$?\\(?P<escaped>\$)|(?P<sign>[\u20ac\u00a3]|\$(?=[^$]*$)))")
_CURRENCIES = {"$": "dollars", "\u20ac": "euros", "\u00a3": "pounds"}
_ARTICLE = re.compile(r"\b(?:(?:an?|the)\s+|and\b)", re.IGNORECASE)


def same_answer(reference: str, answer: str) -> bool:
    """Whether an answer is the reference: in text, or as mathematical objects with the same words between them."""
    if max(len(reference), len(answer)) > _LONGEST:
        return reference.strip() == answer.strip()
    currencies = _currency(reference), _currency(answer)
    reference, answer = normalised(reference), normalised(answer)
    if not reference or not answer or len({*currencies} - {""}) == 2:
        return False
    if _HALF_READ.search(reference) and _HALF_READ.search(answer):
        reference, answer = (_HALF_READ.sub(_in_words, text) for text in (reference, answer))
    if bare(reference) == bare(answer):
        return True

    wanted, given = _unlabelled(pieces(reference)), _unlabelled(pieces(answer))
    if _is_quantity(wanted) and _is_quantity(given):
        return _same_quantity(wanted, given, currencies)
    return len(wanted) == len(given) and all(starmap(_same_piece, zip(wanted, given, strict=True)))


def number(text: str) -> float | None:
    """The number that an answer is, whatever its unit; None for anything else. A percent sign divides by 100."""
    parts = _unlabelled(pieces(normalised(text[: _LONGEST + 1])))
    if len(text) > _LONGEST or not _is_quantity(parts) or {*_BASE.findall(parts[0])} - {"10"}:
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
    """One formula, with nothing but a unit or what is counted behind it."""
    if len(parts) == 1 or not parts[0].strip():
        return len(parts) == 1
    return len(parts) == 3 and not parts[2].strip(" .,;") and not _CHANGES.search(parts[1])


def _currency(text: str) -> str:
    """The currency whose sign an answer begins with; nothing without one."""
    sign = _CURRENCY.match(text)
    return _CURRENCIES[sign["escaped"] or sign["sign"]] if sign else ""


def _same_quantity(
    wanted: list[str], given: list[str], currencies: tuple[str, str] = ("", "")
) -> bool:
    """Equal formulas; what is counted is compared where both say it, by a word or by the sign of a currency."""
    said = [
        parts[1] if len(parts) == 3 else sign
        for parts, sign in zip((wanted, given), currencies, strict=True)
    ]
    units = [unit for unit in said if unit]
    if (
        any(same_words(unit, half) for unit in units for half in ("am", "pm")) and ":" in wanted[0]
    ):  # no ratio
        return bare(wanted[0]).lstrip("0") == bare(given[0]).lstrip("0") and (
            len(units) < 2 or same_words(*units)
        )
    return _same_formula(wanted[0], given[0]) and (len(units) < 2 or same_counted(*units))


def _same_piece(wanted: str, given: str) -> bool:
    """A formula or words, in an answer of several."""
    wanted, given = (_ARTICLE.sub("", text).strip(" ,;:") for text in (wanted, given))
    return (
        bare(wanted).lower() == bare(given).lower()
        or _same_formula(wanted, given)
        or same_words(wanted, given)
    )


def _same_formula(wanted: str, given: str) -> bool:
    wanted, given = wanted.strip(" ,;:"), given.strip(" ,;:")
    if not wanted or not given or bare(wanted) == bare(given):
        return bool(wanted and given)
    bases = [_BASE.findall(text) for text in (wanted, given)]
    if bases[1] and bases[1] != (bases[0] or ["10"]):  # math-verify passes over the base of 10_{7}
        return False

    ends = [text[0] + text[-1] for text in (wanted, given) if "," in text]
    if (
        len(ends) == 2 and ends[0] != ends[1] and {*ends} <= _BRACKETS
    ):  # math-verify takes [3, -4] for a point
        return False

    left, right = _parse(wanted), _parse(given)
    return left is not None and right is not None and _equal(left, right)


@lru_cache(maxsize=512)
def _parse(latex: str) -> Any:
    """The formula as sympy sees it; None where math-verify cannot read all of it."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse
    from sympy import Integer

    if _WHOLE.fullmatch(latex):
        return Integer(latex)

    reading = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last"
    )
    config = LatexExtractionConfig(False, boxed_match_priority=0, normalization_config=reading)
    found = parse(
        f"\\boxed{{{latex}}}", [config], fallback_mode="no_fallback", parsing_timeout=None
    )
    return found[0] if found and not _is_endless(found[0]) else None


def _is_endless(expression: Any) -> bool:
    """Whether it has a number that would take too long to compute: `(42!)!`, `9^{9^9}`."""
    from sympy import Pow, binomial, factorial, factorial2, postorder_traversal

    for part in postorder_traversal(
        expression
    ):  # what is within comes first, so that sizes are small enough to see
        if isinstance(part, (Pow, binomial, factorial, factorial2)):
            size = part.args[-1]
            if size.is_number and bool(abs(size.evalf(5)) > _MOST):
                return True
    return False


def _equal(wanted: Any, given: Any) -> bool:
    """Whether two objects are one.

    Numbers are compared here, those within tuples, sets, matrices and intervals too: math-verify
        rounds them to six
    decimals. It compares the rest.
    """
    from latex2sympy2_extended.sets import FiniteSet
    from math_verify import verify
    from sympy import Eq, Expr, Interval, MatrixBase, Set, Tuple

    wanted, given = _without_name(wanted, given)
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
        return wanted.args[2:] == given.args[2:] and _all_equal(wanted.args[:2], given.args[:2])
    if (
        isinstance(wanted, Expr)
        and isinstance(given, Expr)
        and wanted.is_number
        and given.is_number
    ):
        return same_number(wanted, given)
    return bool(verify(exact(wanted), exact(given), numeric_precision=50, timeout_seconds=None))


def _all_equal(wanted: Sequence[Any], given: Sequence[Any], ordered: bool = True) -> bool:
    if len(wanted) != len(given):
        return False
    if not ordered:
        wanted, given = sorted(wanted, key=_place), sorted(given, key=_place)
    return all(map(_equal, wanted, given))


def _place(expression: Any) -> Any:
    """Where an element of a set stands in an order in which equal ones stand at the same place."""
    from sympy import default_sort_key

    value = right_side(expression)
    return default_sort_key(value.evalf(8) if hasattr(value, "evalf") else value)


def _without_name(wanted: Any, given: Any) -> tuple[Any, Any]:
    """`x = 5` is 5 beside an answer that has no equals sign; a reference that says more than a name says it."""
    from sympy import Eq

    if is_equation(given) and not is_equation(wanted):
        return wanted, right_side(given)
    if isinstance(wanted, Eq) and wanted.lhs.is_Symbol and not is_equation(given):
        return wanted.rhs, given
    return wanted, given


def _same_equation(wanted: Any, given: Any) -> bool:
    """One side the same and the other too, or all of it times a number, or solutions that are the same and exist."""
    from math_verify import verify
    from sympy import simplify, solve

    if wanted.lhs == given.lhs:
        return _equal(wanted.rhs, given.rhs)
    wanted, given = exact(wanted), exact(given)
    try:
        ratio = simplify((wanted.lhs - wanted.rhs) / (given.lhs - given.rhs))
        if ratio.is_number:
            return bool(ratio.is_nonzero)
        if not solve(
            given, given.free_symbols
        ):  # math-verify holds two equations without solutions for one
            return False
    except (TypeError, NotImplementedError):
        return _equal(wanted.lhs, given.lhs) and _equal(wanted.rhs, given.rhs)
    return bool(verify(wanted, given, timeout_seconds=None))
