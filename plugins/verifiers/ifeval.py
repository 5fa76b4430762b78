r"""The instructions of IFEval (arXiv 2311.07911), checked strictly: on the response as it is, after the thinking."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from rlsp_cli.rewards import Sample, Verdict, verifier, without_thinking

Instruction = Mapping[str, Any]


@verifier
def ifeval(sample: Sample, *, partial: bool = False) -> Verdict | None:
    """All instructions of `metadata["instructions"]` are kept; with `partial`, the share that is.

    Abstains where the language must be told, which takes a model. Sentences are counted by their end marks.
    """
    instructions: list[Instruction] = sample.metadata["instructions"]
    if any(instruction["id"] == "language:response_language" for instruction in instructions):
        return None
    text = without_thinking(sample.response).strip()
    kept = [bool(text) and CHECKS[instruction["id"]](text, instruction) for instruction in instructions]
    return Verdict(sum(kept) / len(kept) if partial else float(all(kept)), text or None)


def _related(found: int, relation: str, wanted: int) -> bool:
    """The two relations of IFEval."""
    return found < wanted if relation == "less than" else found >= wanted


def _count(pattern: str, text: str, flags: int = 0) -> int:
    return len(re.findall(pattern, text, flags))


def _parts(text: str, separator: str) -> list[str]:
    """What stands between separators; empty parts count unless they are at an end."""
    parts = [part.strip() for part in re.split(separator, text)]
    return parts[(not parts[0]) : len(parts) - (len(parts) > 1 and not parts[-1])]


def _paragraphs(text: str, given: Instruction) -> bool:
    parts = _parts(text, r"\s?\*\*\*\s?")
    return all(parts) and len(parts) == int(given["num_paragraphs"])


def _first_word(text: str, given: Instruction) -> bool:
    parts, nth = re.split(r"\n\n", text), given["nth_paragraph"]
    if len([part for part in parts if part.strip()]) != given["num_paragraphs"] or nth > len(parts):
        return False
    words = re.findall(r"[^\s.,?!'\"]+", parts[nth - 1].lower())
    return bool(words) and words[0] == str(given["first_word"]).lower()


def _is_json(text: str, _: Instruction) -> bool:
    bare = re.sub(r"^```(?:json)?|```$", "", text.strip(), flags=re.IGNORECASE)
    try:
        json.loads(bare)
    except ValueError:
        return False
    return True


def _two_responses(text: str, _: Instruction) -> bool:
    parts = _parts(text, r"\*{6}")
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def _highlights(text: str, given: Instruction) -> bool:
    spans = re.findall(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*", text)
    return sum(1 for span in spans if "".join(span).strip()) >= int(given["num_highlights"])


def _sections(text: str, given: Instruction) -> bool:
    return _count(rf"\s?{re.escape(given['section_spliter'])}\s?\d+\s?", text) >= int(given["num_sections"])


def _postscript(text: str, given: Instruction) -> bool:
    letters = [re.escape(letter) for letter in given["postscript_marker"].replace(".", "").replace(" ", "")]
    return re.search(r"\.?\s?".join(letters), text, re.IGNORECASE) is not None


_YES_NO = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
CHECKS: dict[str, Callable[[str, Instruction], bool]] = {
    "keywords:existence": lambda text, given: all(
        re.search(re.escape(word), text, re.IGNORECASE) for word in given["keywords"]
    ),
    "keywords:frequency": lambda text, given: _related(
        _count(re.escape(given["keyword"]), text, re.IGNORECASE), given["relation"], given["frequency"]
    ),
    "keywords:forbidden_words": lambda text, given: (
        not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in given["forbidden_words"])
    ),
    "keywords:letter_frequency": lambda text, given: _related(
        text.lower().count(given["letter"].lower()), given["let_relation"], given["let_frequency"]
    ),
    "length_constraints:number_sentences": lambda text, given: _related(
        _count(r"[.!?]+[\"')\]]*(?:\s|$)", text), given["relation"], given["num_sentences"]
    ),
    "length_constraints:number_words": lambda text, given: _related(
        _count(r"\w+", text), given["relation"], given["num_words"]
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, given: _count(r"\[.*?\]", text) >= given["num_placeholders"],
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": lambda text, given: (
        _count(r"^\s*(?:\*[^*]|-)", text, re.MULTILINE) == given["num_bullets"]
    ),
    "detectable_format:constrained_response": lambda text, _: any(answer in text for answer in _YES_NO),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": lambda text, _: re.search(r"<<[^\n<>]*[^\s<>][^\n<>]*>>", text) is not None,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda text, given: text.lower().startswith(given["prompt_to_repeat"].strip().lower()),
    "startend:end_checker": lambda text, given: (
        text.strip('" \n').lower().endswith(given["end_phrase"].strip().lower())
    ),
    "startend:quotation": lambda text, _: len(text) > 1 and text.startswith('"') and text.endswith('"'),
    "change_case:capital_word_frequency": lambda text, given: _related(
        sum(word.isupper() for word in re.findall(r"[\w'-]+", text)),
        given["capital_relation"],
        given["capital_frequency"],
    ),
    "change_case:english_capital": lambda text, _: text.isupper(),
    "change_case:english_lowercase": lambda text, _: text.islower(),
    "punctuation:no_comma": lambda text, _: "," not in text,
}
