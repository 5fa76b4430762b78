"""How alike are the answer and a reference text?"""

import difflib

from rlsp_cli.rewards import Sample, Verdict, verifier, without_thinking


@verifier
def sequence_similarity(sample: Sample) -> Verdict:
    """Ratio of matching characters, 0 to 1, of what follows the thinking and the reference (difflib, as SWE-RL).

    The time grows with the product of both lengths: give long texts a longer `timeout_s`.
    """
    answer = without_thinking(sample.response).strip()
    matcher = difflib.SequenceMatcher(
        None, answer, (sample.reference or "").strip(), autojunk=False
    )
    return Verdict(matcher.ratio() if answer else 0.0, answer or None)
