"""The answer must be the reference, letter by letter."""

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier


@verifier
def exact_match(sample: Sample) -> Verdict:
    """The stated answer equals the reference, white space aside."""
    answer = stated_answer(sample.response)
    wanted = " ".join((sample.reference or "").split())
    return Verdict(answer is not None and " ".join(answer.split()) == wanted, answer)
