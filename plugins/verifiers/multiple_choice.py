"""Compare the chosen letter with the reference's."""

import re

from rlsp_cli.rewards import Sample, Verdict, normalised, stated_answers, verifier, without_thinking

_MARKS = re.compile("\\*\\*|[\"'\u2018\u2019\u201c\u201d]")
_HEDGE = r"(?:maybe|possibly|perhaps|probably|even|then|else|also|both|either)\s+"
_ANOTHER = (
    rf"(?:[,;/&?|-]\s*|\(\s*(?={_HEDGE}))(?:{_HEDGE})*[(\[]?\s*"
    r"(?![AI]\s+(?!is\b|are\b)[a-z])"
)
"""What stands before a further letter (`and`, `or` are commas by now), unless it is `A dog`."""
_SENTENCE = re.compile(
    r"""
      \n
    | ^\W*(?:is|are|was|isn|can|cannot|could|may|might|seems|looks|I)\b   # "A is wrong because"
    | \b(?:not|wrong|so|answer)\b
    | (?-i: \b[A-Z][).\]:] )                                             # "A) 1 B) 2", a list
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What makes a text that begins with a letter more than a choice."""


@verifier
def multiple_choice(sample: Sample, *, letters: str = "ABCDEFGHIJ") -> Verdict:
    r"""The chosen letter is the reference's: `B`, `(B)`, `\textbf{B}`, `Option B`, `B. 4`.

    The letter stands in the last box, else in the last `<answer>` tags, else after the last "answer
    is", or it is the whole response, with or without the text of its choice (`B) 4`). A letter
    elsewhere is no answer. A reference may allow several, `B or D`; an answer that names others
    beside a right one is wrong.
    """
    named = [_letters(text, letters) for text in stated_answers(sample.response)]
    named.append(_letters(without_thinking(sample.response), letters, alone=True))
    chosen = next(filter(None, named), set())
    allowed = _letters(sample.reference or "", letters)
    return Verdict(bool(chosen) and chosen <= allowed, " or ".join(sorted(chosen)) or None)


def _letters(text: str, letters: str, alone: bool = False) -> set[str]:
    """The letters that a text begins with, unless they begin a word, a formula or a sentence."""
    bare = re.sub(r"\\text\{([^{}]*)\}|[{}*]", r" \1 ", normalised(_MARKS.sub(" ", text)))

    one = rf"[(\[]?\s*[{letters}](?:\s*[)\]])?"
    # "A, B" are two letters, but "A, because" is one.
    further = rf"\s*[/&]\s*{one}(?!\w)|\s*,\s*{one}(?=\s*(?:$|[,.;:)]))"
    adjective = r"(?:(?:correct|right|best|final)\s+)?"
    noun = r"(?:option|choice|letter|answer)s?\s*(?:is\b|:)?"
    found = re.match(
        rf"\W*(?:(?:the\s+)?{adjective}{noun}\W*?)?"
        rf"(?P<first>{one})(?P<more>(?:{further})*)(?P<rest>.*)",
        bare,
        re.IGNORECASE | re.DOTALL,
    )
    if not found or not _ends(found["first"], found["rest"], alone):
        return set()

    named = re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", found["first"] + found["more"])
    return {letter.upper() for letter in named + _others(found["first"], found["rest"], letters)}


def _others(first: str, rest: str, letters: str) -> list[str]:
    """Further letters behind other words: the B of `A, or possibly B` and of `A) 1 and B) 2`."""
    # Where the first letter has a mark, a further one needs it too: "A) a cat, I think".
    mark = re.search(r"[)\].:]", first.strip()[1:] + rest[:1])
    end = re.escape(mark[0]) if mark else r"(?!\w)"
    return re.findall(rf"{_ANOTHER}([{letters}])\s*{end}", rest)


def _ends(first: str, rest: str, alone: bool) -> bool:
    """Whether a letter is a choice by what follows it: nothing, a mark, or any text behind `B)`."""
    if not re.search(r"\w", rest):
        return True

    # A word, I'm, or a formula.
    if re.match(r"[\w'^_+=]", rest):
        return False

    is_closed = first.rstrip().endswith((")", "]")) or bool(re.match(r"[.:](?:\s|$)", rest))
    if alone:
        return is_closed and not _SENTENCE.search(rest.strip())
    if is_closed:
        return True

    # "B, since", "B (the second)", "B 4"; not "a, since" of a sentence.
    is_set_off = re.match(r"\s*(?:[,;(\[]|-+\s)|\s+\d", rest) is not None
    return first.strip("([ ").isupper() and is_set_off
