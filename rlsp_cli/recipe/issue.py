"""A mistake in a recipe, shown on a line as `file:line:column: message - hint`."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Issue:
    """Something wrong at the dotted key `path`; `hint` is the next move."""

    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.message} - {self.hint}" if self.hint else self.message


class Note(Issue):
    """Something to know about a recipe that stops nothing."""


def stopping(issues: Iterable[Issue]) -> list[Issue]:
    """Those that stop a run."""
    return [issue for issue in issues if not isinstance(issue, Note)]


def notes_among(issues: Iterable[Issue]) -> list[Note]:
    """Those that stop nothing."""
    return [issue for issue in issues if isinstance(issue, Note)]


class OptionsError(ValueError):
    """Wrong options of a plugin, as (option, message); the option is None for the plugin itself."""

    def __init__(self, problems: list[tuple[str | None, str]]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = problems


_SIMILAR = 0.6
"""Similarity, from 0 to 1, from which a known word is offered."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or all of them."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=_SIMILAR)
    return f'did you mean "{near[0]}"?' if near else f"known: {', '.join(words) or 'none'}"
