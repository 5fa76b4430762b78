"""AIME as lm-evaluation-harness judges it, for results that can be compared with its own."""

import re

from rlsp_cli.rewards import Sample, Verdict, last_boxed, verifier, without_tags

_NOT_COMPARED = re.compile(r"\n|\\!|\\left|\\right|\^\{\\circ\}|\^\\circ|\\[$%]")


@verifier
def lm_eval_aime(sample: Sample) -> Verdict:
    r"""AIME as lm-evaluation-harness judges it: digits, compared as text.

    After lm-eval 0.4.13, tasks/aime/utils.py. The answer is the last box, in the thinking too;
    without one, what stands between the first and the last dollar sign; else the whole response.
    Degrees, units in `\text{ }`, `n =` and blanks are ignored. A leading zero of the reference does
    not count, as in their data set; one of the answer does.
    """
    answer = last_boxed(without_tags(sample.response))
    if answer is None:
        dollars = sample.response.split("$")
        answer = "$".join(dollars[1:-1]) if len(dollars) > 2 else sample.response

    # 073 is 73, but 0 stays 0.
    wanted = (sample.reference or "").strip()
    return Verdict(_compared(answer) == (wanted.lstrip("0") or wanted[-1:]), answer)


def _compared(answer: str) -> str:
    """What is left of an answer to compare: in `n = 73` the 73."""
    text = _NOT_COMPARED.sub("", answer.partition(r"\text{ ")[0])
    name, _, value = text.partition("=")
    if value and "=" not in value and len(name) <= 2:
        text = value
    return text.replace(" ", "")
