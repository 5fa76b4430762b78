"""Compare answer and reference as numbers, within a tolerance."""

import math

from rlsp_cli.rewards import Sample, Verdict, number, stated_answer, verifier


@verifier
def numeric(sample: Sample, *, relative: float = 1e-6, absolute: float = 0.0) -> Verdict | None:
    r"""The answer is the reference's number, within a tolerance.

    The tolerance is max(relative * |reference|, absolute). All of the answer has to be a number,
    with at most a unit, which is not compared: `1,000`, `1e3`, `2\frac{1}{2}`, `2.5 \times 10^3`,
    `5\pi`, `x = 5`. A percent sign divides by 100. Abstains when the reference is no number.
    """
    wanted = number(sample.reference or "")
    if wanted is None:
        return None

    answer = stated_answer(sample.response)
    found = None if answer is None else number(answer)
    close = found is not None and math.isclose(found, wanted, rel_tol=relative, abs_tol=absolute)
    return Verdict(close, answer)
