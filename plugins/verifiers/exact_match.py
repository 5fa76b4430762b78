"""The boxed answer must be the reference, letter by letter."""

from rlsp_cli.rewards import Sample, Verdict, last_boxed, verifier


@verifier
def exact_match(sample: Sample) -> Verdict:
    """The last box equals the reference, white space aside."""
    answer = last_boxed(sample.response)
    wanted = " ".join((sample.reference or "").split())
    return Verdict(answer is not None and " ".join(answer.split()) == wanted, answer)
