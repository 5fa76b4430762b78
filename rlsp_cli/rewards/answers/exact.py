"""Exact numbers: a decimal is the fraction of its digits, and tiny ones are still told apart."""

from typing import Any

_DIGITS = 100
"""Digits to which irrational numbers are computed."""
_AGREE = 90
"""Leading digits in which two of them have to agree; the rest is for rounding errors."""
_SHOWN = 6
"""Digits that a decimal has to show of a number without a finite decimal form: 1/3, pi."""


def exact(expression: Any) -> Any:
    """An expression with fractions for decimals, symbols for derivatives, and chains of `<`."""
    from latex2sympy2_extended.logic import And
    from latex2sympy2_extended.sets import FiniteSet
    from sympy import Derivative, Float, MatrixBase, Rational, Set, Symbol, Tuple
    from sympy.core.relational import GreaterThan, Relational, StrictGreaterThan

    # `.args` is sorted by sympy; latex2sympy2_extended keeps the order of the text beside it.
    if isinstance(expression, (And, FiniteSet)):
        parts = [exact(part) for part in expression._unsorted_args]
        is_falling = all(isinstance(part, (GreaterThan, StrictGreaterThan)) for part in parts)

        # 3 > x > 1 is 1 < x < 3, which math-verify does not see.
        if isinstance(expression, And) and is_falling:
            parts = [part.reversed for part in reversed(parts)]
        return type(expression)(*parts)

    # Without evaluate=False, sympy would turn 1 = 1 into True.
    if isinstance(expression, Relational):
        return expression.func(exact(expression.lhs), exact(expression.rhs), evaluate=False)
    if isinstance(expression, MatrixBase):
        return expression.applyfunc(exact)
    if isinstance(expression, (Set, Tuple)):
        return expression.func(*map(exact, expression.args))

    # By its text: as a binary fraction, 0.1 is a little more than 1/10.
    meant = {number: Rational(str(number)) for number in expression.atoms(Float)}
    # dy/dx of a y that sympy takes for a constant would be computed as 0.
    meant |= {
        rate: Symbol(str(rate))
        for rate in expression.atoms(Derivative)
        if not rate.expr.args or rate.expr.is_Function
    }
    return expression.xreplace(meant) if meant else expression


def value(expression: Any) -> Any:
    """A constant, computed exactly where it is a fraction."""
    return exact(expression).doit()


def is_equation(expression: Any) -> bool:
    """Whether an expression is `a = b`, or a chain of equations."""
    from latex2sympy2_extended.logic import And
    from sympy import Eq

    parts = expression._unsorted_args if isinstance(expression, And) else [expression]
    return all(isinstance(part, Eq) for part in parts)


def right_side(expression: Any) -> Any:
    """The last side of an equation, or the first of `5 = x`; any other expression as it is."""
    from latex2sympy2_extended.logic import And

    if not is_equation(expression):
        return expression
    last = expression._unsorted_args[-1] if isinstance(expression, And) else expression
    return last.lhs if last.rhs.is_Symbol and last.lhs.is_number else last.rhs


def solutions(expression: Any) -> Any:
    """Inequalities in one variable as the set of their solutions; anything else as it is."""
    from latex2sympy2_extended.logic import And
    from latex2sympy2_extended.sets import FiniteSet
    from sympy import Intersection, Union
    from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

    parts = expression._unsorted_args if isinstance(expression, (And, FiniteSet)) else [expression]
    kinds = (GreaterThan, LessThan, StrictGreaterThan, StrictLessThan)
    if not all(isinstance(part, kinds) for part in parts) or len(expression.free_symbols) != 1:
        return expression

    # A chain has to hold as a whole; of a list, `x < 0, x > 1`, one is enough.
    sets = [exact(part).as_set() for part in parts]
    return Union(*sets) if isinstance(expression, FiniteSet) else Intersection(*sets)


def same_number(wanted: Any, given: Any) -> bool:
    """Whether two constants are equal; a percent sign that only one of them has may be dropped."""
    if _same_value(wanted, given):
        return True

    # A problem that asks "how many percent" has 28 for its answer, and 28% is right as well.
    parts = [_of_percent(number) for number in (wanted, given)]
    if (parts[0] is None) == (parts[1] is None):
        return False

    left = wanted if parts[0] is None else parts[0]
    right = given if parts[1] is None else parts[1]
    return _same_value(left, right)


def _of_percent(number: Any) -> Any:
    """28 of 28%; None where there is no percent sign."""
    from sympy import Mul, Rational, UnevaluatedExpr

    # What latex2sympy2_extended makes of a percent sign.
    hundredth = UnevaluatedExpr(Rational(1, 100))
    if isinstance(number, Mul) and hundredth in number.args:
        return Mul(*(part for part in number.args if part != hundredth))
    return None


def _same_value(wanted: Any, given: Any) -> bool:
    """Whether fractions are equal, irrational numbers agree to 90 digits, or a rounded one fits."""
    from sympy import Float

    numbers = [value(wanted), value(given)]

    # Infinities and complex numbers. sympy's nan and zoo equal themselves, which would make one
    # division by zero the answer to another.
    if any(number.is_finite is False or number.is_comparable is False for number in numbers):
        is_undefined = any(number.has(*_undefined()) for number in numbers)
        return bool(numbers[0] == numbers[1]) and not is_undefined

    if numbers[0] == numbers[1]:
        return True

    # 0.333333 may stand for 1/3, but 0.3 not for 0.30001: that could have been written out.
    finite = [_is_finite_decimal(number) for number in numbers]
    rounded = finite[0] != finite[1] and (wanted if finite[0] else given).has(Float)
    if all(number.is_Rational for number in numbers) and not rounded:
        return False

    left, right = (number.evalf(_DIGITS) for number in numbers)
    if rounded:
        return bool(abs(left - right) < _last_digit_shown(right if finite[0] else left))
    if bool(abs(left - right) <= max(abs(left), abs(right)) * Float(10) ** -_AGREE):
        return True

    # Zero has no leading digits to agree in; whether a difference vanishes is for algebra to say.
    nearly_nothing = min(abs(left), abs(right)) < Float(10) ** -_AGREE
    return bool(nearly_nothing and (numbers[0] - numbers[1]).equals(0))


def _undefined() -> tuple[Any, ...]:
    from sympy import nan, zoo

    return nan, zoo


def _is_finite_decimal(number: Any) -> bool:
    """Whether a number has a finite decimal form."""
    if not number.is_Rational:
        return False

    rest = int(number.q)
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def _last_digit_shown(number: Any) -> Any:
    """The unit of the sixth decimal, or for a number below 1 of its sixth leading digit."""
    from sympy import Float, floor, log

    size = min(0, int(floor(log(abs(number), 10)))) if number else 0
    return Float(10) ** (size - _SHOWN + (1 if size < 0 else 0))
