"""The value of an expression of numbers that a model wrote."""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

_TWO: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: operator.mod,
}
_ONE: dict[type[ast.unaryop], Callable[[Fraction], Fraction]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_GAP = re.compile(r"(?<=\d)\s+(?=\d)")
"""A space within a number, as in 12 345."""
_MOST_CHARACTERS = 1000
"""Of an expression."""
_MOST_EXPONENT = 64
_MOST_BITS = 4096
"""Of a number: powers of powers would fill the memory."""


def calculated(expression: str, digits: int) -> str | None:
    """The value of an expression, exact but for digits beyond so many after the point.

    None for what cannot be computed: anything but numbers, operators and brackets, a division by
    zero, or a value that is too large.
    """
    try:
        return _shown(_value(_parsed(expression)), digits)
    except (ValueError, SyntaxError, ArithmeticError, RecursionError):
        return None


def _parsed(expression: str) -> ast.expr:
    if len(expression) > _MOST_CHARACTERS:
        raise ValueError("an expression that is too long")
    text = (
        _GAP.sub("", expression.strip())
        .replace("^", "**")
        .replace("\u00d7", "*")
        .replace("\u00f7", "/")
    )
    return ast.parse(text, mode="eval").body


def _value(node: ast.expr) -> Fraction:
    """The value of an expression of numbers; ValueError for anything else in it."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            found = Fraction(str(number))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _ONE:
            found = _ONE[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            found = _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _TWO:
            found = _TWO[type(op)](_value(left), _value(right))
        case _:
            raise ValueError("not an expression of numbers")

    if max(abs(found.numerator), found.denominator).bit_length() > _MOST_BITS:
        raise ValueError("a number that is too large")
    return found


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _MOST_EXPONENT:
        raise ValueError("an exponent that is no whole number, or too large")
    return Fraction(base ** int(exponent))


def _shown(value: Fraction, digits: int) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    # Not as a float, which has sixteen digits in all.
    rounded = round(value, digits)
    sign = "-" if rounded < 0 else ""
    whole, rest = divmod(abs(rounded) * 10**digits, 10**digits)
    decimals = f"{int(rest):0{digits}d}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
