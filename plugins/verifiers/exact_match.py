"""The answer has to be the reference, character by character."""

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier


@verifier
def exact_match(sample: Sample) -> Verdict:
    """The answer equals the reference as text, apart from white space."""
    answer = stated_answer(sample.response)
    wanted = " ".join((sample.reference or "").split())
    return Verdict(answer is not None and " ".join(answer.split()) == wanted, answer)
