"""Mathematical equality of the answer and the reference, by math-verify."""

import logging
import re
import unicodedata
from typing import Any, Literal

from rlsp_cli.rewards import Sample, Verdict, boxed_run, last_boxed, stated_answer, verifier, without_thinking

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns on every call that its own timeouts are off

_SIGNS = str.maketrans(
    {"\u2212": "-", "\u00d7": "\\times ", "\u00f7": "\\div ", "\u03c0": "\\pi ", "\u221e": "\\infty "}
)
_SUPERSCRIPTS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789")


@verifier
def math_verify(sample: Sample, *, extract: Literal["anywhere", "stated", "boxed"] = "anywhere") -> Verdict:
    r"""The answer and the reference are the same mathematical object (math-verify).

    The answer is the last complete `\boxed{}` after the thinking ends. Where there is none, `stated` also takes what
    follows the last "answer is", and `anywhere` what math-verify finds in the text. Deadlines are the worker
    process's: math-verify's own need the main thread's alarm and miss some hangs.
    """
    gold = _plain(sample.reference or "")
    answer = last_boxed(sample.response) if extract == "boxed" else stated_answer(sample.response)
    if not gold or answer == "":
        return Verdict(False, answer)
    if answer is not None and _same_text(gold, answer):
        return Verdict(True, answer)
    parsed = _parse(f"\\boxed{{{gold}}}")
    candidates = [f"\\boxed{{{_plain(text)}}}" for text in (answer, boxed_run(sample.response)) if text is not None]
    if extract == "anywhere" and last_boxed(sample.response) is None:
        candidates.append(_plain(without_thinking(sample.response)))
    right = any(_equal(parsed, candidate) for candidate in candidates if not _other_base(gold, candidate))
    return Verdict(right, answer)


def _equal(gold: list[Any], answer: str) -> bool:
    from math_verify import verify

    return bool(verify(gold, _parse(answer), timeout_seconds=None))


def _parse(text: str) -> list[Any]:
    from math_verify import parse

    parsed: list[Any] = parse(text, parsing_timeout=None)
    return parsed


def _plain(text: str) -> str:
    """Signs and digits of other scripts, roots and powers of one sign, as LaTeX writes them."""
    text = re.sub("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+", lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub("\u221a\\s*(\\w+|\\{[^{}]*\\})", lambda m: f"\\sqrt{{{m[1].strip('{}')}}}", text)
    return unicodedata.normalize("NFKC", text.translate(_SIGNS)).strip()


def _same_text(gold: str, answer: str) -> bool:
    r"""Equal but for white space, `\text{}` and dollar signs."""
    bare = [re.sub(r"\\text\s*\{([^{}]*)\}|[\s$]|\\[ ,;!]", r"\1", text) for text in (gold, answer)]
    left, right = ("".join(text.split()) for text in bare)
    return bool(left) and left == right


def _other_base(gold: str, answer: str) -> bool:
    """Numbers of two bases, `10_{7}` and `10_{8}`, which math-verify holds for equal."""
    bases = [re.findall(r"\d_\{?(\d+)", text) for text in (gold, answer)]
    return all(bases) and bases[0] != bases[1]
