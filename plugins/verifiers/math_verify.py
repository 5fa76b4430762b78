"""Mathematical equality of the answer and the reference, by math-verify."""

from typing import Literal

from rlsp_cli.rewards import (
    Sample,
    Verdict,
    boxed_answer,
    found_answer,
    same_answer,
    stated_answer,
    verifier,
)


@verifier
def math_verify(
    sample: Sample, *, extract: Literal["anywhere", "stated", "boxed"] = "anywhere"
) -> Verdict:
    r"""The answer and the reference are the same mathematical object, read by math-verify (docs/answers.md).

    `boxed` takes the last `\boxed{}` after the thinking for the answer, `stated` also `<answer>`
    tags and what "answer is", "Answer:" or "####" say, and `anywhere` the last formula or number of
    a text that states nothing. One
    text is the answer: a right number elsewhere does not count. A reference may be a solution,
        whose answer is found
    in the same way. Deadlines are the worker process's.
    """
    answer = boxed_answer(sample.response) if extract == "boxed" else stated_answer(sample.response)
    judged = found_answer(sample.response) if answer is None and extract == "anywhere" else answer
    reference = stated_answer(sample.reference or "") or sample.reference or ""
    return Verdict(judged is not None and same_answer(reference, judged), answer)
