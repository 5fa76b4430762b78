"""The instructions of IFEval (arXiv 2311.07911), as its own code judges them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

from rlsp_cli.rewards import CheckedVerdict, Sample, verifier, without_thinking

Instruction = Mapping[str, Any]
_YES_NO = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_POSTSCRIPTS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
"""The two markers of IFEval's prompts as patterns; any other is searched for as it is."""
# Fields of nltk's English model that are sets; its fourth, ortho_context, is a dictionary.
_MODEL = ("abbrev_types", "collocations", "sent_starters")


@verifier
def ifeval(sample: Sample, *, partial: bool = False) -> CheckedVerdict:
    """All instructions of IFEval in the prompt are followed; with `partial`, the share that is.

    `metadata["instructions"]` has them. The verdict is by IFEval's strict rule. `checks` also has
    the loose one, which forgives emphasis and a first or last line that is not the answer. As in
    IFEval, nltk finds sentences and words, and langdetect languages.
    """
    # First, so that both are read while the worker warms up: no sample pays for it.
    _sentence_tokenizer()
    _detector()

    instructions: list[Instruction] = sample.metadata["instructions"]
    text = _answer(sample.response)
    strict = [_is_kept(instruction, [text]) for instruction in instructions]
    loose = [_is_kept(instruction, _loosely(text)) for instruction in instructions]
    correct = sum(strict) / len(strict) if partial else float(all(strict))
    return CheckedVerdict(correct, text.strip() or None, {"strict": strict, "loose": loose})


def _answer(response: str) -> str:
    """What follows the thinking; a response without any keeps its leading blank lines."""
    text = without_thinking(response)
    return text if text == response else text.lstrip()


def _is_kept(instruction: Instruction, texts: list[str]) -> bool:
    """Whether any of these texts follows the instruction; an empty one follows none."""
    check = CHECKS[instruction["id"]]
    return any(check(text, instruction) for text in texts if text.strip())


def _loosely(text: str) -> list[str]:
    """IFEval's variants: without the first line, the last, both; each without asterisks too."""
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys([*cut, *(one.replace("*", "") for one in cut)]))


def _related(found: int, relation: str, wanted: int) -> bool:
    """IFEval's two relations: "less than", and "at least"."""
    return found < wanted if relation == "less than" else found >= wanted


def _number(given: Instruction, name: str) -> int:
    """An argument as an integer: data from a table with gaps has 3.0 for 3."""
    return int(given[name])


def _count(pattern: str, text: str, flags: int = 0) -> int:
    return len(re.findall(pattern, text, flags))


@cache
def _sentence_tokenizer() -> Any:
    """Punkt for English, as in nltk, with the model from a package instead of a download."""
    import punkt
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    model, parameters = punkt.load_model("english"), PunktParameters()
    for name in _MODEL:
        setattr(parameters, name, set(getattr(model, name)))
    parameters.ortho_context.update(model.ortho_context)
    return PunktSentenceTokenizer(parameters)


def _sentences(text: str, given: Instruction) -> bool:
    return _reaches(
        _sentence_tokenizer().span_tokenize(text),
        given["relation"],
        _number(given, "num_sentences"),
    )


def _capital_words(text: str, given: Instruction) -> bool:
    capitals = filter(str.isupper, _words(text))
    return _reaches(capitals, given["capital_relation"], _number(given, "capital_frequency"))


def _reaches(found: Iterable[object], relation: str, wanted: int) -> bool:
    """As `_related`, but it stops counting once the relation is decided."""
    return _related(sum(1 for _ in islice(found, wanted)), relation, wanted)


def _words(text: str) -> Iterator[str]:
    """Words by the rules of the Penn Treebank, sentence by sentence."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    for start, end in _sentence_tokenizer().span_tokenize(text):
        yield from tokenizer.tokenize(text[start:end])


@cache
def _detector() -> Any:
    """The library langdetect, with its profiles loaded."""
    import langdetect

    # It draws at random; without a seed one text may get two verdicts.
    langdetect.DetectorFactory.seed = 0
    langdetect.detector_factory.init_factory()
    return langdetect


def _is_in(language: str, text: str) -> bool:
    """Whether langdetect finds this language; a text without words passes, as in IFEval."""
    detector = _detector()
    try:
        return bool(detector.detect(text) == language)
    except detector.LangDetectException:
        return True


def _paragraphs(text: str, given: Instruction) -> bool:
    parts = _between(re.split(r"\s?\*\*\*\s?", text))
    return all(parts) and len(parts) == _number(given, "num_paragraphs")


def _two_responses(text: str, _: Instruction) -> bool:
    parts = _between(text.split("******"))
    return all(parts) and len(parts) == 2 and parts[0] != parts[1]


def _between(parts: list[str]) -> list[str]:
    """The parts between separators, stripped; an empty one counts unless it is first or last."""
    stripped = [part.strip() for part in parts]
    return [part for place, part in enumerate(stripped) if part or 0 < place < len(parts) - 1]


def _first_word(text: str, given: Instruction) -> bool:
    parts, nth = text.split("\n\n"), _number(given, "nth_paragraph")
    filled = sum(bool(part.strip()) for part in parts)
    if filled != _number(given, "num_paragraphs") or nth > filled or not parts[nth - 1].strip():
        return False

    first = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", first)[0].lower() == str(given["first_word"]).lower()


def _is_json(text: str, _: Instruction) -> bool:
    bare = re.sub(r"\A```(?:json|Json|JSON)?|```\Z", "", text.strip())
    try:
        json.loads(bare)
    except (ValueError, RecursionError):  # too deeply nested for Python
        return False
    return True


def _placeholders(text: str, given: Instruction) -> bool:
    """Whether there are enough pairs of brackets, each on one line."""
    # By hand: a pattern would search the rest of the line for each bracket that never closes.
    found = 0
    for line in text.split("\n"):
        found += sum("[" in part for part in line.split("]")[:-1])
    return found >= _number(given, "num_placeholders")


def _title(text: str, _: Instruction) -> bool:
    return any(_titled(line).lstrip("<").rstrip(">").strip() for line in text.split("\n"))


def _titled(line: str) -> str:
    """From the first `<<` to the last `>>`, both included, or an empty text."""
    start, end = line.find("<<"), line.rfind(">>")
    return line[start : end + 2] if 0 <= start < end - 2 else ""


def _bullets(text: str, given: Instruction) -> bool:
    starts = (r"^[^\S\n]*\*[^*].*$", r"^[^\S\n]*-.*$")
    return sum(_count(start, text, re.MULTILINE) for start in starts) == _number(
        given, "num_bullets"
    )


def _highlights(text: str, given: Instruction) -> bool:
    """Whether there are enough highlighted spans, as IFEval counts them."""
    # A span within three asterisks matches both patterns, and counts twice there as well.
    spans = re.findall(r"\*[^\n*]*\*", text) + re.findall(r"\*\*[^\n*]*\*\*", text)
    return sum(bool(span.strip("*").strip()) for span in spans) >= _number(given, "num_highlights")


def _sections(text: str, given: Instruction) -> bool:
    splitter = re.escape(given["section_spliter"].strip())
    return _count(rf"\s?{splitter}\s?\d+\s?", text) >= _number(given, "num_sections")


def _postscript(text: str, given: Instruction) -> bool:
    marker = given["postscript_marker"].strip()
    return re.search(_POSTSCRIPTS.get(marker, re.escape(marker.lower())), text.lower()) is not None


# By IFEval's own names.
CHECKS: dict[str, Callable[[str, Instruction], bool]] = {
    "keywords:existence": lambda text, given: all(
        re.search(re.escape(word), text, re.IGNORECASE) for word in given["keywords"]
    ),
    "keywords:frequency": lambda text, given: _related(
        _count(re.escape(given["keyword"].strip()), text, re.IGNORECASE),
        given["relation"],
        _number(given, "frequency"),
    ),
    "keywords:forbidden_words": lambda text, given: (
        not any(
            re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
            for word in given["forbidden_words"]
        )
    ),
    "keywords:letter_frequency": lambda text, given: _related(
        text.lower().count(given["letter"].lower()),
        given["let_relation"],
        _number(given, "let_frequency"),
    ),
    "language:response_language": lambda text, given: _is_in(given["language"], text),
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_words": lambda text, given: _related(
        _count(r"\w+", text), given["relation"], _number(given, "num_words")
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": lambda text, _: any(
        answer in text for answer in _YES_NO
    ),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda text, given: (
        text.strip().lower().startswith(given["prompt_to_repeat"].strip().lower())
    ),
    "startend:end_checker": lambda text, given: (
        text.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower())
    ),
    "startend:quotation": lambda text, _: (
        len(text.strip()) > 1 and text.strip()[0] == text.strip()[-1] == '"'
    ),
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda text, _: text.isupper() and _is_in("en", text),
    "change_case:english_lowercase": lambda text, _: text.islower() and _is_in("en", text),
    "punctuation:no_comma": lambda text, _: "," not in text,
}
