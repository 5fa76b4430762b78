"""An expression that reaches the target with the given numbers."""

import ast
import operator
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier

_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LONGEST = 500
"""Characters; nobody needs more for a game of some numbers."""


@verifier
def countdown(sample: Sample, *, use_all: bool = False) -> Verdict:
    r"""The boxed expression equals the reference exactly and uses each of `metadata["numbers"]` at most once.

    Allowed are + - * / (also `\times`, `\div`, `\cdot`) and parentheses. The text is parsed, never evaluated.
    `use_all` wants every number used.
    """
    answer = stated_answer(sample.response)
    target, numbers = Fraction(sample.reference or "0"), Counter(map(int, sample.metadata["numbers"]))
    try:
        value, used = _evaluate(ast.parse(_plain(answer or ""), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return Verdict(False, answer)
    allowed = used == numbers if use_all else not used - numbers
    return Verdict(value == target and allowed, answer)


def _plain(answer: str) -> str:
    """The left side of the answer, in Python's signs."""
    text = answer.partition("=")[0].strip().strip("$")
    for found, meant in (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("\u00d7", "*"), ("\u00f7", "/")):
        text = text.replace(found, meant)
    if len(text) > _LONGEST:
        raise ValueError("too long")
    return text.replace("\\left", "").replace("\\right", "").strip()


def _evaluate(node: ast.expr) -> tuple[Fraction, "Counter[int]"]:
    """Value of an expression and the numbers in it; ValueError for anything that is not arithmetic."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value), Counter([node.value])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        (left, used_left), (right, used_right) = _evaluate(node.left), _evaluate(node.right)
        return _OPERATIONS[type(node.op)](left, right), used_left + used_right
    raise ValueError(ast.dump(node))
