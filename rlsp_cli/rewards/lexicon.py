"""The lexicon of search behaviours: files of words that anyone can read and change."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from rlsp_cli.errors import PluginError
from rlsp_cli.share import share

_START = r"\b(?=\w)(?<![\"'\u201c\u2018])"
"""Words start here, and not right after an opening quotation mark: those are quoted, not meant."""
_END = r"(?!\w)"
_SPECIAL = re.compile(r"\\.|\[(?:\\.|[^\]])*\]|\((?!\?)|\^(\w?)| ")
"""What is not taken as it stands in a pattern's words; characters that are escaped or in a class keep their meaning."""


class Mark(NamedTuple):
    """Where a behaviour's words stand in a text."""

    start: int
    end: int
    behaviour: str


class Pattern(BaseModel):
    """Words of one kind: regular expressions, of which one must match, with examples that say what is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    words: tuple[str, ...] = Field(min_length=1)
    match: tuple[str, ...] = Field(min_length=1)
    not_: tuple[str, ...] = Field(alias="not", min_length=1)


class Words(BaseModel):
    """One file: the words of one behaviour; the file's name is the behaviour's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    language: str
    patterns: tuple[Pattern, ...] = Field(min_length=1)


class Lexicon:
    """Behaviours by name. A text is read in lower case, and words match as a whole.

    Where words of two behaviours start at the same character, they are those of the behaviour that
    comes first.
    """

    def __init__(self, behaviours: dict[str, Words]) -> None:
        self.behaviours = behaviours
        words: list[str] = []
        self._owners: list[str] = []
        for name, file in behaviours.items():
            for pattern in file.patterns:
                words += pattern.words
                self._owners += [name] * len(pattern.words)
        self._finder = _finder(words)

    @property
    def digest(self) -> str:
        """SHA-256 of what the files say."""
        files = {name: words.model_dump(mode="json") for name, words in self.behaviours.items()}
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    def counts(self, text: str) -> dict[str, int]:
        """Occurrences of each behaviour's words."""
        found = Counter(mark.behaviour for mark in self.marks(text))
        return {name: found[name] for name in self.behaviours}

    def marks(self, text: str) -> list[Mark]:
        """The occurrences in the order of the text; those of one behaviour are apart, of two they may overlap."""
        marks: list[Mark] = []
        free = dict.fromkeys(self.behaviours, 0)
        for place in self._finder.finditer(_plain(text)):
            number = place.lastindex or 0
            name, start, end = self._owners[number - 1], place.start(), place.end(number)
            if start >= free[name]:
                free[name] = end
                marks.append(Mark(start, end, name))
        return marks


@cache
def load_lexicon(path: str | None = None) -> Lexicon:
    """The lexicon of a folder of YAML files, or of one; the shipped one (`plugins/behaviour`) without a path.

    PluginError for a file that is wrong, also when a pattern does not do what its own examples say.
    """
    root = Path(path) if path else share("plugins") / "behaviour"
    files = [root] if root.is_file() else sorted(root.glob("*.yaml"))
    if not files:
        raise PluginError(
            f"{root}: no lexicon; expected a YAML file of a behaviour, or a folder with such files"
        )
    return Lexicon({file.stem: _read(file) for file in files})


def behaviour_counts(text: str, lexicon: str | None = None) -> dict[str, int]:
    """Occurrences of each behaviour's words, of the shipped lexicon or of another file or folder."""
    return load_lexicon(lexicon).counts(text)


def _read(file: Path) -> Words:
    try:
        words = Words.model_validate(
            YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        )
    except YAMLError as error:
        raise PluginError(f"{file}: no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise PluginError(f"{file}: {_first(error)}; plugins/behaviour shows the form") from error
    for pattern in words.patterns:
        _check(file, pattern)
    return words


def _first(error: ValidationError) -> str:
    found: Any = error.errors()[0]
    return f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}"


def _check(file: Path, pattern: Pattern) -> None:
    """PluginError unless the words are regular expressions that do what the examples say."""
    place = f"{file}: pattern {pattern.name!r}"
    try:
        finder = _finder(pattern.words)
    except re.error as error:
        raise PluginError(f"{place}: no regular expression: {error}") from error
    if finder.groups != len(pattern.words):
        raise PluginError(f"{place}: has a named group; write (a|b) instead")
    if finder.search(""):
        raise PluginError(f"{place}: matches an empty text; expected words")
    missed = [text for text in pattern.match if not finder.search(_plain(text))]
    caught = [text for text in pattern.not_ if finder.search(_plain(text))]
    for text, what in [(t, "match") for t in missed] + [(t, "not match") for t in caught]:
        raise PluginError(
            f"{place}: its example {text!r} should {what}; change the words or the example"
        )


def _finder(words: Sequence[str]) -> re.Pattern[str]:
    """Finds where words start; the number of the group that matched is that of the word, its place is the end."""
    choices = "|".join(f"(?:{_translated(word)}){_END}()" for word in words)
    return re.compile(f"{_START}(?={choices})")


def _translated(word: str) -> str:
    """As Python reads it: a blank stands for any white space, ^ for the start of a line, sentence or clause."""
    return _SPECIAL.sub(_meaning, word)


def _meaning(special: re.Match[str]) -> str:
    text, letter = special[0], special[1]
    if (
        letter is not None
    ):  # the letter comes first, because a search that knows it passes over other places fast
        return rf"{letter}(?<![^.,;:!?\n][ \t]{letter})"
    return "(?:" if text == "(" else text.replace(" ", r"\s")


def _plain(text: str) -> str:
    """As the patterns read it, character by character in the same places (a dotted capital I has two in lower case)."""
    return text.replace("İ", "I").lower().replace("\u2019", "'")
