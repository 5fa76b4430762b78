"""Numbers as they are written: a decimal is the fraction that its digits say, and no two are equal for being small."""

from typing import Any

_DIGITS = 100
"""Digits to which numbers are computed that are no fractions."""
_AGREE = 90
"""Digits in which two of them have to agree."""
_SHOWN = 6
"""Digits that a decimal has to show of a number that has no finite decimal form, such as 1/3 or pi."""


def exact(expression: Any) -> Any:
    """The same expression with fractions for decimals, names for derivatives, and chains of > as chains of <."""
    from latex2sympy2_extended.logic import And
    from latex2sympy2_extended.sets import FiniteSet
    from sympy import Derivative, Float, MatrixBase, Rational, Set, Symbol, Tuple
    from sympy.core.relational import GreaterThan, Relational, StrictGreaterThan

    if isinstance(expression, (And, FiniteSet)):
        parts = [exact(part) for part in expression._unsorted_args]
        if isinstance(expression, And) and all(
            isinstance(part, (GreaterThan, StrictGreaterThan)) for part in parts
        ):
            parts = [part.reversed for part in reversed(parts)]
        return type(expression)(*parts)
    if isinstance(expression, Relational):
        return expression.func(exact(expression.lhs), exact(expression.rhs), evaluate=False)
    if isinstance(expression, MatrixBase):
        return expression.applyfunc(exact)
    if isinstance(expression, (Set, Tuple)):
        return expression.func(*map(exact, expression.args))

    meant = {number: Rational(str(number)) for number in expression.atoms(Float)}
    meant |= {
        rate: Symbol(str(rate))
        for rate in expression.atoms(Derivative)
        if not rate.expr.args or rate.expr.is_Function
    }
    return expression.xreplace(meant) if meant else expression


def value(expression: Any) -> Any:
    """A constant, computed: a fraction where it is one."""
    return exact(expression).doit()


def is_equation(expression: Any) -> bool:
    """Whether an expression is `a = b`, or a chain of such."""
    from latex2sympy2_extended.logic import And
    from sympy import Eq

    parts = expression._unsorted_args if isinstance(expression, And) else [expression]
    return all(isinstance(part, Eq) for part in parts)


def right_side(expression: Any) -> Any:
    """What an equation says something to be: its last side, or the first of `5 = x`; any other expression itself."""
    from latex2sympy2_extended.logic import And

    if not is_equation(expression):
        return expression
    last = expression._unsorted_args[-1] if isinstance(expression, And) else expression
    return last.lhs if last.rhs.is_Symbol and last.lhs.is_number else last.rhs


def solutions(expression: Any) -> Any:
    """The set that inequalities say, in one variable: of `0 < x < 1` both hold, of `x < 0, x > 1` one."""
    from latex2sympy2_extended.logic import And
    from latex2sympy2_extended.sets import FiniteSet
    from sympy import Intersection, Union
    from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

    parts = expression._unsorted_args if isinstance(expression, (And, FiniteSet)) else [expression]
    kinds = (GreaterThan, LessThan, StrictGreaterThan, StrictLessThan)
    if not all(isinstance(part, kinds) for part in parts) or len(expression.free_symbols) != 1:
        return expression
    sets = [exact(part).as_set() for part in parts]
    return Union(*sets) if isinstance(expression, FiniteSet) else Intersection(*sets)


def same_number(wanted: Any, given: Any) -> bool:
    """Whether two constants are one number; a percent sign that only one of them has may be left out."""
    if _same_value(wanted, given):
        return True
    parts = [_of_percent(number) for number in (wanted, given)]
    if (parts[0] is None) == (parts[1] is None):
        return False
    return _same_value(
        wanted if parts[0] is None else parts[0], given if parts[1] is None else parts[1]
    )


def _of_percent(number: Any) -> Any:
    """28 of 28%; None where there is no percent sign."""
    from sympy import Mul, Rational, UnevaluatedExpr

    hundredth = UnevaluatedExpr(Rational(1, 100))
    if isinstance(number, Mul) and hundredth in number.args:
        return Mul(*(part for part in number.args if part != hundredth))
    return None


def _same_value(wanted: Any, given: Any) -> bool:
    """Equal fractions; other numbers to 90 digits; a decimal and a number that has none to the digits that it shows."""
    from sympy import Float

    numbers = [value(wanted), value(given)]
    if any(number.is_finite is False or number.is_comparable is False for number in numbers):
        return bool(numbers[0] == numbers[1]) and not any(
            number.has(*_undefined()) for number in numbers
        )
    if numbers[0] == numbers[1]:
        return True

    finite = [_is_finite_decimal(number) for number in numbers]
    rounded = finite[0] != finite[1] and (wanted if finite[0] else given).has(Float)
    if all(number.is_Rational for number in numbers) and not rounded:
        return False

    left, right = (number.evalf(_DIGITS) for number in numbers)
    if rounded:
        return bool(abs(left - right) < _last_digit_shown(right if finite[0] else left))
    if bool(abs(left - right) <= max(abs(left), abs(right)) * Float(10) ** -_AGREE):
        return True
    nearly_nothing = min(abs(left), abs(right)) < Float(10) ** -_AGREE
    return bool(nearly_nothing and (numbers[0] - numbers[1]).equals(0))


def _undefined() -> tuple[Any, ...]:
    from sympy import nan, zoo

    return nan, zoo


def _is_finite_decimal(number: Any) -> bool:
    """Whether a number can be written out in decimals."""
    if not number.is_Rational:
        return False
    rest = int(number.q)
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def _last_digit_shown(number: Any) -> Any:
    """One of the sixth digit of a number below 1, or of the sixth decimal."""
    from sympy import Float, floor, log

    size = min(0, int(floor(log(abs(number), 10)))) if number else 0
    return Float(10) ** (size - _SHOWN + (1 if size < 0 else 0))
