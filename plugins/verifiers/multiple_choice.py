"""The chosen letter is the reference's."""

import re

from rlsp_cli.rewards import Sample, Verdict, normalised, stated_answers, verifier, without_thinking

_MARKS = re.compile("\\*\\*|[\"'\u2018\u2019\u201c\u201d]")
_HEDGE = r"(?:maybe|possibly|perhaps|probably|even|then|else|also|both|either)\s+"
_ANOTHER = (
    rf"(?:[,;/&?|-]\s*|\(\s*(?={_HEDGE}))(?:{_HEDGE})*[(\[]?\s*"
    r"(?![AI]\s+(?!is\b|are\b)[a-z])"
)
"""What stands before a further letter, where `and` and `or` are commas already; none is `A dog` or `I think`."""
_SENTENCE = re.compile(
    r"\n|^\W*(?:is|are|was|isn|can|cannot|could|may|might|seems|looks|I)\b|\b(?:not|wrong|so|answer)\b|(?-i:\b[A-Z][).\]:])",
    re.IGNORECASE,
)
"""What makes more of a response that begins with a letter than the choice: a claim about it, or a list of choices."""


@verifier
def multiple_choice(sample: Sample, *, letters: str = "ABCDEFGHIJ") -> Verdict:
    r"""The letter of the answer is the reference's: `B`, `(B)`, `\textbf{B}`, `Option B`, `B. 4`, `B, since ...`.

    The letter stands in the last box, or where that has none in the last `<answer>` tags, or after
    the last "answer is", or it is all of the response, with or without its choice (`B) 4`). A
    letter elsewhere in the text is no answer. A reference may allow several, `B or D`; an answer
    that names others beside a right one is wrong.
    """
    texts = [*stated_answers(sample.response), without_thinking(sample.response)]
    named = [_letters(text, letters) for text in texts[:-1]] + [
        _letters(texts[-1], letters, alone=True)
    ]
    chosen = next(filter(None, named), set())
    allowed = _letters(sample.reference or "", letters)
    return Verdict(bool(chosen) and chosen <= allowed, " or ".join(sorted(chosen)) or None)


def _letters(text: str, letters: str, alone: bool = False) -> set[str]:
    """The letters that a text begins with; nothing when they are the beginning of a word, a formula or a sentence."""
    bare = re.sub(r"\\text\{([^{}]*)\}|[{}*]", r" \1 ", normalised(_MARKS.sub(" ", text)))
    one = rf"[(\[]?\s*[{letters}](?:\s*[)\]])?"
    further = rf"\s*[/&]\s*{one}(?!\w)|\s*,\s*{one}(?=\s*(?:$|[,.;:)]))"
    found = re.match(
        rf"\W*(?:(?:the\s+)?(?:(?:correct|right|best|final)\s+)?(?:option|choice|letter|answer)s?\s*(?:is\b|:)?\W*?)?"
        rf"(?P<first>{one})(?P<more>(?:{further})*)(?P<rest>.*)",
        bare,
        re.IGNORECASE | re.DOTALL,
    )
    if not found or not _ends(found["first"], found["rest"], alone):
        return set()
    named = re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", found["first"] + found["more"])
    return {letter.upper() for letter in named + _others(found["first"], found["rest"], letters)}


def _others(first: str, rest: str, letters: str) -> list[str]:
    """The letters behind other words: B of `A, or possibly B`, and of `A) 1 and B) 2`, where the first has a mark."""
    mark = re.search(r"[)\].:]", first.strip()[1:] + rest[:1])
    end = re.escape(mark[0]) if mark else r"(?!\w)"
    return re.findall(rf"{_ANOTHER}([{letters}])\s*{end}", rest)


def _ends(first: str, rest: str, alone: bool) -> bool:
    """Whether what follows a letter leaves it a letter: nothing, a mark, or anything after `B)`, `B.` or `B:`."""
    if not re.search(r"\w", rest):
        return True
    if re.match(r"[\w'^_+=]", rest):
        return False
    closed = first.rstrip().endswith((")", "]")) or re.match(r"[.:](?:\s|$)", rest)
    if alone:
        return bool(closed and not _SENTENCE.search(rest.strip()))
    return bool(
        closed or (first.strip("([ ").isupper() and re.match(r"\s*(?:[,;(\[]|-+\s)|\s+\d", rest))
    )
