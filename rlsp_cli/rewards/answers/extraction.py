"""Find the final answer of a response, by one rule in training and evaluation (docs/answers.md)."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rlsp_cli.rewards.answers.statement import last_statement, last_value
from rlsp_cli.rewards.thinking import without_thinking

_TOKEN = re.compile(
    r"""
      (?P<box>   \\{1,2} boxed \s* \{ )                # two backslashes in text written as a string
    | (?P<frame> \\{1,2} (?:fbox|framebox) \s* \{ )
    | (?P<escaped> \\. )                             # above all \{ and \}, which count as letters
    | (?P<brace> [{}] )
    """,
    re.VERBOSE | re.DOTALL,
)
_LABEL = r"(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?\s*=|\(?(?:[a-h]|i{1,3}|\d)[).])"
_JOINER = rf"(?:[,;]|\\text\{{[^{{}}]*\}}|\b(?:and|or|also)\b|{_LABEL})"
# Possessive: otherwise each blank between two boxes doubles the ways to match them.
_FILLER = r"(?:[\s$.*]|\\(?:quad|qquad|[,;! ()\[\]]))*+"
_BETWEEN_BOXES = re.compile(rf"{_FILLER}(?:{_JOINER}{_FILLER})+", re.IGNORECASE)
_FARTHEST = 60
"""Characters that may stand between two boxes of one answer."""

_RULED = ("countdown", "exact_match", "math_verify", "multiple_choice", "numeric")
_RULES = {
    "boxed": "the last box after the thinking",
    "stated": (
        "the last box after the thinking, else the last <answer> tags,"
        ' else what "answer is" or "####" says'
    ),
}
_RULES["anywhere"] = f"{_RULES['stated']}, else the last formula or number"

# Possessive as well: otherwise a text of many "<answer><" takes the square of its length.
_TAGGED = re.compile(r"<answer>([^<]*+(?:<(?!/?answer>)[^<]*+)*+)</answer>", re.IGNORECASE)
_CANDIDATE = re.compile(
    r"\banswer(?:\s+is|\s*:)[ \t*:]*([^\s*][^\n]{0,80}?)"
    r"(?=[.,;:!?*]*(?:[.,;:!?]\s|\n|$)|\s(?:because|since|but|so)\s)",
    re.IGNORECASE,
)
_CONFIDENCE = re.compile(r"confidence\W{0,20}?(\d+(?:\.\d+)?)\s*(%|/\s*(\d+))?", re.IGNORECASE)


def answer_rule(verifier: Mapping[str, Any]) -> str | None:
    """A built-in verifier's rule for finding the answer, in a line; None if it is its own."""
    if verifier["use"] not in _RULED:
        return None
    return _RULES[verifier.get("extract", "stated")]


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}` after the thinking ends; None when there is none.

    Braces are matched, `\{` and `\}` belong to the answer; a box that never closes does not count.
    One pass: the time is linear in the length of any text. `\fbox` and `\framebox` outside of a
    box are boxes too.
    """
    text = without_thinking(text)
    boxes = _boxes(text)
    return text[slice(*boxes[-1])].strip() if boxes else None


def boxed_answer(text: str) -> str | None:
    """The last box, and those before it with only `,`, `and`, `or` or a label between."""
    text = without_thinking(text)
    boxes = _boxes(text)

    run = boxes[-1:]  # from the last to the first
    for start, end in reversed(boxes[:-1]):
        # Up to the backslash of the next box's command.
        between = text[end + 1 : text.rfind("\\", end, run[-1][0])]
        if len(between) > _FARTHEST or not _BETWEEN_BOXES.fullmatch(between):
            break
        run.append((start, end))

    # A box that is repeated, as at the end of a summary, is one answer.
    listed = dict.fromkeys(text[start:end].strip() for start, end in reversed(run))
    return ", ".join(listed) if listed else None


def stated_answers(text: str) -> Iterator[str]:
    """The answers of a response: in boxes, in the last `<answer>` tags, in its last statement.

    The first one is the answer. The others serve verifiers that need it in some form, such as a
    letter, which the first may not have.
    """
    boxed = boxed_answer(text)
    if boxed is not None:
        yield boxed

    text = without_thinking(text)
    tagged = _TAGGED.findall(text)
    if tagged:
        yield tagged[-1].strip()

    statement = last_statement(text)
    if statement is not None:
        yield statement


def stated_answer(text: str) -> str | None:
    """The last box, else the last `<answer>` tags, else what "answer is" or "####" states."""
    return next(stated_answers(text), None)


def found_answer(text: str) -> str | None:
    """The stated answer, or the last formula or number of a text that states none."""
    stated = stated_answer(text)
    return last_value(without_thinking(text)) if stated is None else stated


def stated_confidence(text: str, out_of: float = 10.0) -> float | None:
    """The last stated confidence, from 0 to 1; None without one, or if it is above its scale.

    `confidence: 8` means 8 / `out_of`; `80%` and `8/10` mean what they say.
    """
    stated = _CONFIDENCE.findall(text)
    if not stated:
        return None
    number, unit, whole = stated[-1]
    if unit == "%":
        whole = "100"
    scale = float(whole) if whole else out_of

    # "8/0" is no confidence, and no reason to fail.
    share = float(number) / scale if scale else math.inf
    return share if share <= 1 else None


def candidate_answers(text: str) -> list[str]:
    """All different answers of a text, its thinking included, in order: boxes and "answer is".

    They are compared as text, without white space and dollar signs.
    """
    found = [(start, text[start:end]) for start, end in _boxes(text)]

    # "The answer is \boxed{4}" is there already, as a box.
    found += [
        (said.start(), said[1]) for said in _CANDIDATE.finditer(text) if "boxed" not in said[1]
    ]

    plain = ["".join(answer.replace("$", "").split()) for _, answer in sorted(found)]
    return list(dict.fromkeys(answer for answer in plain if answer))


def _boxes(text: str) -> list[tuple[int, int]]:
    """Start and end of the content of every complete box, in the order in which they start."""
    # Of each brace: where its content starts, and whether it is a box's.
    open_braces: list[tuple[int, bool]] = []
    open_boxes = 0
    found = []

    for token in _TOKEN.finditer(text):
        if token["box"] or token["frame"] or token["brace"] == "{":
            # Within a box a frame is decoration, as in \boxed{\fbox{3}}.
            is_box = bool(token["box"] or (token["frame"] and not open_boxes))
            open_braces.append((token.end(), is_box))
            open_boxes += is_box
        elif token["brace"] == "}" and open_braces:
            content, is_box = open_braces.pop()
            open_boxes -= is_box
            if is_box:
                found.append((content, token.start()))

    # Boxes were found in the order in which they close.
    return sorted(found)
