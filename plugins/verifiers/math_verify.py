"""Mathematical equality of the boxed answer and the reference, by math-verify."""

import logging

from rlsp_cli.rewards import Sample, Verdict, last_boxed, verifier

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns on every call that its own timeouts are off


@verifier
def math_verify(sample: Sample) -> Verdict:
    """The last box and the reference are the same mathematical object (math-verify).

    Deadlines are the worker process's: math-verify's own need the main thread's alarm and miss some hangs.
    """
    answer = last_boxed(sample.response)
    if answer is None:
        return Verdict(False, None)
    gold = sample.reference or ""
    if "".join(answer.split()) == "".join(gold.split()):
        return Verdict(True, answer)
    return Verdict(_equal(gold, answer), answer)


def _equal(gold: str, answer: str) -> bool:
    from math_verify import parse
    from math_verify import verify as verify_parsed

    parsed_gold = parse(f"\\boxed{{{gold}}}", parsing_timeout=None)
    parsed_answer = parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
    return bool(verify_parsed(parsed_gold, parsed_answer, timeout_seconds=None))
