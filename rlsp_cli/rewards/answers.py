"""Finding the final answer in a response: one rule, the same in training and evaluation."""

import math
import re

from rlsp_cli.rewards.thinking import without_thinking

_TOKEN = re.compile(r"(?P<box>\\{1,2}f?boxed\s*\{)|(?P<escaped>\\.)|(?P<brace>[{}])", re.DOTALL)
_STATED = re.compile(r"\banswer(?:\s+is|\s*:)[ \t*:]*(\S[^\n]*)", re.IGNORECASE)
_BETWEEN_BOXES = re.compile(r"(?:[\s,;$]|\\(?:quad|qquad|[,;! ])|\\text\{[^{}]*\}|and|or)*")
_CANDIDATE = re.compile(
    r"\banswer(?:\s+is|\s*:)[ \t*:]*([^\s*][^\n]{0,80}?)"
    r"(?=[.,;:!?*]*(?:[.,;:!?]\s|\n|$)|\s(?:because|since|but|so)\s)",
    re.IGNORECASE,
)
_CONFIDENCE = re.compile(r"confidence\W{0,20}?(\d+(?:\.\d+)?)\s*(%|/\s*(\d+))?", re.IGNORECASE)


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete `\boxed{...}` after the thinking ends; None when there is none.

    Braces are matched, `\{` and `\}` are letters of the answer; a box that is never closed does not count. One pass:
    the time grows with the length of the text, whatever is in it.
    """
    text = without_thinking(text)
    boxes = _boxes(text)
    return text[slice(*boxes[-1])].strip() if boxes else None


def boxed_run(text: str) -> str | None:
    r"""The last boxes joined by commas, when only `,`, `and` and the like stand between them; None for a single one."""
    text = without_thinking(text)
    boxes = _boxes(text)
    run = boxes[-1:]  # from the last to the first
    for start, end in reversed(boxes[:-1]):
        between = text[end + 1 : text.rfind("\\", end, run[-1][0])]
        if not _BETWEEN_BOXES.fullmatch(between):
            break
        run.append((start, end))
    return ", ".join(text[start:end].strip() for start, end in reversed(run)) if len(run) > 1 else None


def stated_answer(text: str) -> str | None:
    """The last box, or where there is none the rest of the line after the last "answer is" or "answer:"."""
    boxed = last_boxed(text)
    stated = _STATED.findall(without_thinking(text)) if boxed is None else []
    return stated[-1].strip().rstrip(".*").strip() or None if stated else boxed


def stated_confidence(text: str, out_of: float = 10.0) -> float | None:
    """The last stated confidence, from 0 to 1; None when there is none, or one that is no share.

    `confidence: 8` means 8 / `out_of`; `80%` and `8/10` mean what they say.
    """
    stated = _CONFIDENCE.findall(text)
    if not stated:
        return None
    number, unit, whole = stated[-1]
    scale = 100.0 if unit == "%" else float(whole) if whole else out_of
    share = float(number) / scale if scale else math.inf
    return share if share <= 1 else None


def candidate_answers(text: str) -> list[str]:
    """The different answers that all of a text offers, its thinking too, in order: boxes, and what "answer is" says.

    Answers are told apart by their text without white space and dollar signs.
    """
    found = [(start, text[start:end]) for start, end in _boxes(text)]
    found += [(said.start(), said[1]) for said in _CANDIDATE.finditer(text) if "boxed" not in said[1]]
    plain = ["".join(answer.replace("$", "").split()) for _, answer in sorted(found)]
    return list(dict.fromkeys(answer for answer in plain if answer))


def _boxes(text: str) -> list[tuple[int, int]]:
    """Start and end of the content of every complete box, in the order in which they start."""
    open_braces: list[tuple[int, bool]] = []  # where each one's content starts, and whether it is a box
    found = []
    for token in _TOKEN.finditer(text):
        if token["box"] or token["brace"] == "{":
            open_braces.append((token.end(), bool(token["box"])))
        elif token["brace"] == "}" and open_braces:
            content, is_box = open_braces.pop()
            if is_box:
                found.append((content, token.start()))
    return sorted(found)
