"""The lexicon of search behaviours: YAML files of words that anyone can read and change."""

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
"""Where words start; not right after an opening quotation mark, which makes them a quotation."""
_END = r"(?!\w)"
_SPECIAL = re.compile(r"\\.|\[(?:\\.|[^\]])*\]|\((?!\?)|\^(\w?)| ")
"""What a pattern's words write differently; escaped characters and classes are left as they are."""


class Mark(NamedTuple):
    """Where a behaviour's words stand in a text."""

    start: int
    end: int
    behaviour: str


class Pattern(BaseModel):
    """Words of one kind as regular expressions, with examples that do and do not match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    words: tuple[str, ...] = Field(min_length=1)
    match: tuple[str, ...] = Field(min_length=1)
    not_: tuple[str, ...] = Field(alias="not", min_length=1)


class Words(BaseModel):
    """One file: the words of a behaviour, whose name is that of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    language: str
    patterns: tuple[Pattern, ...] = Field(min_length=1)


class Lexicon:
    """Behaviours by name. Texts are read in lower case, and only whole words match.

    Where words of two behaviours start at the same character, the first behaviour gets them.
    """

    def __init__(self, behaviours: dict[str, Words]) -> None:
        self.behaviours = behaviours
        # One expression for all words: a text is gone through once, not once a word.
        words: list[str] = []
        self._owners: list[str] = []
        for name, file in behaviours.items():
            for pattern in file.patterns:
                words += pattern.words
                self._owners += [name] * len(pattern.words)
        self._finder = _finder(words)

    @property
    def digest(self) -> str:
        """SHA-256 of the files' contents."""
        files = {name: words.model_dump(mode="json") for name, words in self.behaviours.items()}
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    def counts(self, text: str) -> dict[str, int]:
        """Occurrences of each behaviour's words."""
        found = Counter(mark.behaviour for mark in self.marks(text))
        return {name: found[name] for name in self.behaviours}

    def marks(self, text: str) -> list[Mark]:
        """Occurrences in the order of the text; only those of different behaviours may overlap."""
        marks: list[Mark] = []
        free = dict.fromkeys(self.behaviours, 0)
        for place in self._finder.finditer(_plain(text)):
            number = place.lastindex or 0
            name, start, end = self._owners[number - 1], place.start(), place.end(number)

            # "wait, wait" within words of the same behaviour has been counted already.
            if start >= free[name]:
                free[name] = end
                marks.append(Mark(start, end, name))
        return marks


@cache
def load_lexicon(path: str | None = None) -> Lexicon:
    """The lexicon in a YAML file or a folder of them; without a path that of `plugins/behaviour`.

    PluginError for a file that is wrong, also when a pattern contradicts its own examples.
    """
    root = Path(path) if path else share("plugins") / "behaviour"
    files = [root] if root.is_file() else sorted(root.glob("*.yaml"))
    if not files:
        raise PluginError(f"{root}: no lexicon; expected a YAML file, or a folder of them")
    return Lexicon({file.stem: _read(file) for file in files})


def behaviour_counts(text: str, lexicon: str | None = None) -> dict[str, int]:
    """Occurrences of each behaviour's words in the shipped lexicon, or in that of a path."""
    return load_lexicon(lexicon).counts(text)


def _read(file: Path) -> Words:
    try:
        found = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        words = Words.model_validate(found)
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
    """PluginError unless the words are regular expressions that agree with the examples."""
    place = f"{file}: pattern {pattern.name!r}"
    try:
        finder = _finder(pattern.words)
    except re.error as error:
        raise PluginError(f"{place}: no regular expression: {error}") from error
    # The number of a group says whose words have matched, so no word may bring one of its own.
    if finder.groups != len(pattern.words):
        raise PluginError(f"{place}: has a named group; write (a|b) instead")
    if finder.search(""):
        raise PluginError(f"{place}: matches an empty text; expected words")

    wrong = [(text, "match") for text in pattern.match if not finder.search(_plain(text))]
    wrong += [(text, "not match") for text in pattern.not_ if finder.search(_plain(text))]
    for text, expected in wrong:
        words = f"{place}: its example {text!r} should {expected}"
        raise PluginError(f"{words}; change the words or the example")


def _finder(words: Sequence[str]) -> re.Pattern[str]:
    """Finds where words start; the group that matched has the number of the word, and its end."""
    # In a look-ahead, so that words that overlap are all found.
    choices = "|".join(f"(?:{_translated(word)}){_END}()" for word in words)
    return re.compile(f"{_START}(?={choices})")


def _translated(word: str) -> str:
    """Words as a regular expression: a blank is any white space, ^ the start of a clause."""
    return _SPECIAL.sub(_meaning, word)


def _meaning(special: re.Match[str]) -> str:
    text, letter = special[0], special[1]

    # The letter before the look-behind: a search that knows its first letter skips the rest fast.
    if letter is not None:
        return rf"{letter}(?<![^.,;:!?\n][ \t]{letter})"
    return "(?:" if text == "(" else text.replace(" ", r"\s")


def _plain(text: str) -> str:
    """A text as the patterns read it, with every character in its place."""
    # In lower case, a dotted capital I would become two characters.
    return text.replace("İ", "I").lower().replace("\u2019", "'")
