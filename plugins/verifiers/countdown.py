"""The countdown game: an expression that reaches the target with the given numbers."""

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from rlsp_cli.rewards import Sample, Verdict, normalised, stated_answer, verifier

_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FRACTION = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SIGNS = (
    ("\\times", "*"),
    ("\\cdot", "*"),
    ("\\div", "/"),
    ("[", "("),
    ("]", ")"),
    ("{", "("),
    ("}", ")"),
)
_ARITHMETIC = re.compile(r"[\d+*/() -]+")
_LONGEST = 500
"""Characters of an expression; a game of some numbers needs far fewer."""


@verifier
def countdown(sample: Sample, *, use_all: bool = False) -> Verdict:
    r"""An expression that reaches the target and uses each given number at most once.

    The target is the reference, the numbers are `metadata["numbers"]`. Allowed are + - * / (also
    `\times`, `\div`, `\cdot`, `\frac`, `3(6 - 2)`) and parentheses. Of `12 = (6 - 2) * 3` the first
    side counts that is more than a number. The text is parsed, never evaluated. With `use_all`,
    every number has to be used.
    """
    answer = stated_answer(sample.response)
    target = Fraction(sample.reference or "0")
    numbers = Counter(map(int, sample.metadata["numbers"]))

    try:
        value, used = _evaluate(ast.parse(_expression(answer or ""), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return Verdict(False, answer)

    # What is left of the used numbers was not given.
    allowed = used == numbers if use_all else not used - numbers
    return Verdict(value == target and allowed, answer)


def _expression(answer: str) -> str:
    """The side of the answer that is an expression, in Python's signs; ValueError if none is."""
    if len(answer) > _LONGEST:
        raise ValueError("too long")

    sides = [_in_signs(side) for side in normalised(answer).split("=")]
    side = next((side for side in sides if not side.isdigit()), sides[0])

    # Powers would reach any target, and 9**9**9 would never end.
    if not _ARITHMETIC.fullmatch(side) or "**" in side or "//" in side:
        raise ValueError(side)
    return side


def _in_signs(text: str) -> str:
    """LaTeX arithmetic in Python's signs, with a sign for every product."""
    # From the inside out, for a fraction may stand within another.
    while (text := _FRACTION.sub(r"((\1)/(\2))", before := text)) != before:
        pass
    for found, meant in _SIGNS:
        text = text.replace(found, meant)

    # 6.0 is 6; and 3(6 - 2), (1 + 2)4 and 3x4 are products.
    text = re.sub(r"\\text|\s|(?<=\d)\.0+(?!\d)", "", text)
    return re.sub(r"(?<=[\d)])(?=\()|(?<=\))(?=\d)|(?<=[\d)])[xX](?=[\d(])", "*", text)


def _evaluate(node: ast.expr) -> tuple[Fraction, "Counter[int]"]:
    """The value of an expression and the numbers in it; ValueError for all but arithmetic."""
    # Exactly int: True is a constant of Python, too.
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value), Counter([node.value])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value, used = _evaluate(node.operand)
        return -value, used
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        (left, used_left), (right, used_right) = _evaluate(node.left), _evaluate(node.right)
        return _OPERATIONS[type(node.op)](left, right), used_left + used_right
    raise ValueError(ast.dump(node))
