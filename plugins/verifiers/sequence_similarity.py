"""Compare the answer with a reference text, character by character."""

import difflib

from rlsp_cli.rewards import Sample, Verdict, verifier, without_thinking


@verifier
def sequence_similarity(sample: Sample) -> Verdict:
    """The similarity of answer and reference as texts, 0 to 1 (difflib's ratio, as in SWE-RL).

    The answer is what follows the thinking. The time grows with the product of both lengths: give
    long texts a longer `timeout_s`.
    """
    answer = without_thinking(sample.response).strip()
    reference = (sample.reference or "").strip()

    # autojunk would drop the frequent characters of any text of 200 or more.
    matcher = difflib.SequenceMatcher(None, answer, reference, autojunk=False)
    return Verdict(matcher.ratio() if answer else 0.0, answer or None)
