r"""Problems of a bench that stand in training data too: the same text, or much of its wording.

One shared run of 13 words, GPT-3's rule (arXiv 2005.14165, Appendix C), finds mostly set phrases in mathematics. So a
problem counts as repeated when a share of its own runs of 8 words is found, as in PaLM's analysis (2204.02311,
Section 8); docs/data.md has the measurement. Only problems are compared: answers are too short to be told apart.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

NGRAM = 8
"""Words in a run that is looked for; a shorter problem is one run."""
SHARE = 0.5
"""Share of a bench problem's own runs that makes a text a copy of it."""
_SHORTEST = 6
"""A problem of fewer words is an everyday phrase; only the same text counts."""

_COMMANDS = "quad|qquad|left|right|displaystyle|text|textbf|textrm|mathrm|mbox"
_LAYOUT = re.compile(rf"\\(?:[,;:!> ]|(?:{_COMMANDS})(?![a-zA-Z]))")
_FRACTION = re.compile(r"\\[dt]frac(?![a-z])")
_FIGURE = re.compile(r"\[asy\].*?(?:\[/asy\]|$)", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+|\d+|[-+*/=<>^!%]")
_SIGNS = str.maketrans("\u2010\u2011\u2012\u2013\u2014\u2212\u00d7\u00f7", "------*/")


class Match(NamedTuple):
    """The problem of a bench that a text repeats, and by which rule: `exact` or `8-gram`."""

    bench: str
    id: str
    rule: str


def words_of(text: str) -> tuple[str, ...]:
    """The normalised words: case, white space, punctuation, dollar signs and LaTeX's layout make no difference.

    Numbers, letters and operators are words of their own: `2 + 3` and `2+3` are the same, `2-3` is not.
    """
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS).lower()
    return tuple(_WORD.findall(_FRACTION.sub(r"\\frac", _LAYOUT.sub(" ", text))))


def same_text(text: str) -> str:
    """What two texts have in common exactly when they are the same problem."""
    return " ".join(words_of(text)) or text


class OverlapIndex:
    """The problems of benches, to look texts up in; the time for a text grows with its length alone."""

    def __init__(self) -> None:
        self._exact: dict[str, Match] = {}
        self._owners: dict[tuple[str, ...], list[Match]] = {}
        self._runs: Counter[Match] = Counter()
        self._sizes: set[int] = set()

    def add(self, bench: str, problems: Mapping[str, str], *, wording: bool = True) -> None:
        """Add a bench: texts by problem id; without `wording` only the same text counts, as in procedural tasks."""
        for id, text in problems.items():
            self._exact.setdefault(same_text(text), Match(bench, id, "exact"))
        for id, runs in _own_runs(problems).items() if wording else ():
            match = Match(bench, id, f"{NGRAM}-gram")
            self._runs[match] = len(runs)
            self._sizes |= {len(run) for run in runs}
            for run in runs:
                self._owners.setdefault(run, []).append(match)

    def match(self, text: str) -> Match | None:
        """The problem that this text repeats; None when there is none."""
        return self._exact.get(same_text(text)) or self._most_shared(text)

    def span(self, text: str, match: Match) -> tuple[int, int]:
        """Start and end in `text` of what it shares with the problem: from the first shared run of words to the last.

        All of the text when it is the same, and when its letters do not tell (accents that are letters of their own).
        """
        words = list(_placed_words(text)) if match.rule != "exact" else []
        runs = [words[n : n + size] for size in self._sizes for n in range(len(words) - size + 1)]
        shared = [run for run in runs if match in self._owners.get(tuple(word for word, _, _ in run), ())]
        if not shared:
            return 0, len(text)
        return min(run[0][1] for run in shared), max(run[-1][2] for run in shared)

    def _most_shared(self, text: str) -> Match | None:
        words = _wording(text)
        runs = {run for size in self._sizes for run in _runs(words, size) if run in self._owners}
        found = Counter(match for run in runs for match in self._owners[run])
        best = max(found, key=lambda match: found[match] / self._runs[match], default=None)
        return best if best and found[best] >= SHARE * self._runs[best] else None


def _own_runs(problems: Mapping[str, str]) -> dict[str, set[tuple[str, ...]]]:
    """By problem, the runs of words that no other problem of the bench has.

    What several share but for the numbers is the bench's wording, such as "where m and n are relatively prime", and
    says nothing of one problem.
    """
    runs = {id: _all_runs(_wording(text)) for id, text in problems.items()}
    users = Counter(shape for several in runs.values() for shape in {_shape(run) for run in several})
    return {id: {run for run in several if users[_shape(run)] == 1} for id, several in runs.items()}


def _all_runs(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    size = min(NGRAM, len(words))
    return set(_runs(words, size)) if size >= _SHORTEST else set()


def _runs(words: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    return (words[start : start + size] for start in range(len(words) - size + 1))


def _shape(run: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("0" if word.isdigit() else word for word in run)


def _placed_words(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of `_wording`, each with its start and end in the text."""
    plain, places = [], []
    for place, letter in enumerate(_FIGURE.sub(_blank, text)):
        one = unicodedata.normalize("NFKC", letter).translate(_SIGNS).lower()
        plain.append(one)
        places += [place] * len(one)
    for word in _WORD.finditer(_FRACTION.sub(r" \\frac", _LAYOUT.sub(_blank, "".join(plain)))):
        yield word[0], places[word.start()], places[word.end() - 1] + 1


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _wording(text: str) -> tuple[str, ...]:
    """The words without figures, whose drawing commands are alike everywhere."""
    return words_of(_FIGURE.sub(" ", text))
