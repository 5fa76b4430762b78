"""The answer is the reference's number, within a tolerance."""

import math
import re
from fractions import Fraction

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,3})?")


@verifier
def numeric(sample: Sample, *, relative: float = 1e-6, absolute: float = 1e-9) -> Verdict | None:
    r"""The answer is within max(relative * |reference|, absolute) of the reference.

    Numbers may be written as `1,000`, `1e3`, `3/4` or `\frac{3}{4}`. A percent sign divides by 100; a unit after the
    number is passed over. Abstains when the reference is no number.
    """
    wanted = _number(sample.reference or "")
    if wanted is None:
        return None
    answer = stated_answer(sample.response)
    found = _number(answer or "")
    close = found is not None and math.isclose(found, wanted, rel_tol=relative, abs_tol=absolute)
    return Verdict(close, answer)


def _number(text: str) -> float | None:
    text = re.sub(r"\\d?frac\{([^{}]+)\}\{([^{}]+)\}", r"\1/\2", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)|\\[,;!]|[$\s{}]|\\text|\\mathrm|\\left|\\right", "", text)
    numerator = _NUMBER.match(text)
    if numerator is None:
        return None
    rest = text[numerator.end() :]
    value = float(numerator[0])
    if rest.startswith("/") and (denominator := _NUMBER.match(rest, 1)):
        if not float(denominator[0]):
            return None
        value = float(Fraction(numerator[0]) / Fraction(denominator[0]))
        rest = rest[denominator.end() :]
    return value / 100 if rest.startswith(("%", "\\%")) else value
