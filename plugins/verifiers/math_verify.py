"""Compare answer and reference as mathematics, by math-verify."""

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
    r"""The answer equals the reference as mathematics, read by math-verify.

    The answer (docs/answers.md) is the last `\boxed{}` after the thinking (`extract: boxed`), else
    what `<answer>` tags, "answer is", "Answer:" or "####" state (`stated`), else the last formula
    or number (`anywhere`). It is one text: a right number elsewhere does not count. A reference may be
    a solution, whose answer is found in the same way.
    """
    answer = boxed_answer(sample.response) if extract == "boxed" else stated_answer(sample.response)
    # What was only found is judged, but not reported as an answer: it would count in a vote.
    judged = found_answer(sample.response) if answer is None and extract == "anywhere" else answer
    reference = stated_answer(sample.reference or "") or sample.reference or ""
    return Verdict(judged is not None and same_answer(reference, judged), answer)
