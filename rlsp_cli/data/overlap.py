r"""Problems of a bench that stand in training data too: the same text, much of its wording, or something like it.

One shared run of 13 words, GPT-3's rule (arXiv 2005.14165, Appendix C), finds mostly set phrases in mathematics. So a
problem counts as repeated when a share of its own runs of 8 words is found, as in PaLM's analysis (2204.02311,
Section 8), and all of its numbers: with others it is a problem of the same family. What is only like a problem is a
likely copy, to be read and not refused. docs/data.md has the measurement.
"""

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from rlsp_cli.data.likeness import Likeness
from rlsp_cli.data.wording import is_number, placed_words, words_of

NGRAM = 8
"""Words in a run that is looked for; a shorter problem is one run."""
SHARE = 0.5
"""Share of a bench problem's own runs that makes a text a copy of it."""
CANNOT_FIND = "translations, most paraphrases in other words, parts of a problem, or problems told in pictures"
"""What no rule here can find; clean data may hold them."""
_SHORTEST = 6
"""A problem of fewer words is an everyday phrase; only the same text counts."""
_CERTAIN = ("exact", f"{NGRAM}-gram")
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40}|/0*[1-9]\d{,40})?")
_FIGURE = re.compile(r"\[asy\].*?(?:\[/asy\]|$)", re.DOTALL)

Run = tuple[str, ...]


class Match(NamedTuple):
    """The problem of a bench that a text repeats, and by which rule.

    `exact` and `8-gram` are copies. Likely copies are `other numbers` and `other answer`, which have the wording of an
    8-gram copy, and `words`, which shares most of the telling words.
    """

    bench: str
    id: str
    rule: str

    @property
    def certain(self) -> bool:
        """Whether it is a copy, and not only like one."""
        return self.rule in _CERTAIN


@dataclass(frozen=True)
class _Problem:
    """What is known of a bench's problem; `runs` is the number of its own runs of words."""

    text: str
    answer: str | None
    numbers: Run
    runs: int


def same_text(text: str) -> str:
    """What two texts have in common exactly when they are the same problem."""
    return " ".join(words_of(text)) or text


class OverlapIndex:
    """The problems of benches, to look texts up in; the time for a text grows with its length alone."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Match]] = {}
        self._owners: dict[int, dict[Run, list[tuple[str, str]]]] = {}
        self._problems: dict[tuple[str, str], _Problem] = {}
        self._likeness: dict[str, Likeness] = {}

    def add(
        self, bench: str, problems: Mapping[str, str], answers: Mapping[str, str] | None = None, *, wording: bool = True
    ) -> None:
        """Add a bench: texts by problem id; without `wording` only the same text counts, as in procedural tasks."""
        words = {id: _wording(text) for id, text in problems.items()}
        own = _own_runs(words)
        for id, text in problems.items():
            self._exact.setdefault(same_text(text), {}).setdefault(bench, Match(bench, id, "exact"))
            known = _Problem(text, (answers or {}).get(id), _numbers(words[id]), len(own[id]))
            self._problems[bench, id] = known
        if wording:
            self._likeness[bench] = Likeness({id: words[id] for id in problems if len(words[id]) >= _SHORTEST})
        for id, runs in own.items() if wording else ():
            for run in runs:
                self._owners.setdefault(len(run), {}).setdefault(run, []).append((bench, id))

    def match(self, text: str, answer: str | None = None, *, likely: bool = False) -> Match | None:
        """The problem that this text repeats; with `likely` the one that it is like where it repeats none."""
        found = self.matches(text, answer, likely=likely)
        return next((match for match in found if match.certain), found[0] if found else None)

    def matches(self, text: str, answer: str | None = None, *, likely: bool = False) -> list[Match]:
        """The same for each bench, of which one problem at most is told."""
        words = words_of(text)
        found = self._exact.get(" ".join(words) or text, {})
        words = words if "[asy]" not in text else _wording(text)
        found = {match.bench: match for match in self._shared(words, answer)} | found
        if likely:
            found = self._like(words, apart_from=found) | found
        return [match for match in found.values() if likely or match.certain]

    def text(self, match: Match) -> str:
        """The problem's text."""
        return self._problems[match.bench, match.id].text

    def span(self, text: str, match: Match) -> tuple[int, int]:
        """Start and end in `text` of what it shares with the problem: from the first shared run of words to the last.

        All of the text when it is the same, or when they share words but no run.
        """
        words = placed_words(_FIGURE.sub(_blank, text)) if match.rule != "exact" else []
        shared = [run for size in self._owners for run in self._placed_runs(words, size, match)]
        if not shared:
            return 0, len(text)
        return min(start for start, _ in shared), max(end for _, end in shared)

    def _placed_runs(self, words: Sequence[tuple[str, int, int]], size: int, match: Match) -> list[tuple[int, int]]:
        runs = [words[start : start + size] for start in range(len(words) - size + 1)]
        owners, key = self._owners[size], (match.bench, match.id)
        found = [run for run in runs if key in owners.get(tuple(word for word, _, _ in run), ())]
        return [(min(start for _, start, _ in run), max(end for _, _, end in run)) for run in found]

    def _shared(self, words: Run, answer: str | None) -> list[Match]:
        """The problems that share their wording, the nearest last."""
        found: Counter[tuple[str, str]] = Counter()
        for size, owners in self._owners.items():
            runs = set(_runs(words, size))
            if not owners.keys().isdisjoint(runs):
                found.update(key for run in runs & owners.keys() for key in owners[run])
        shares = {key: shared / self._problems[key].runs for key, shared in found.items()}
        copied = {key: share for key, share in shares.items() if share >= SHARE}
        matches = [Match(*key, self._rule(key, words, answer, share)) for key, share in copied.items()]
        return sorted(matches, key=lambda match: (match.certain, shares[match.bench, match.id]))

    def _rule(self, key: tuple[str, str], words: Run, answer: str | None, share: float) -> str:
        """What stands there whole is a copy whatever its answer: one of the two answers is wrong."""
        problem = self._problems[key]
        same_answer, numbers = _same(problem.answer, answer), _numbers(words)
        if not (_in_order(problem.numbers, numbers) or (same_answer and _among(problem.numbers, numbers))):
            return "other numbers"
        return "other answer" if share < 1 and same_answer is False else _CERTAIN[1]

    def _like(self, words: Run, apart_from: Container[str]) -> dict[str, Match]:
        benches = [bench for bench in self._likeness if bench not in apart_from]
        near = {bench: self._likeness[bench].nearest(words) for bench in benches}
        return {bench: Match(bench, id, "words") for bench, id in near.items() if id is not None}


def _numbers(words: Run) -> Run:
    return tuple(filter(is_number, words))


def _in_order(ours: Run, theirs: Run) -> bool:
    """Whether all our numbers are among theirs in the same order."""
    left = iter(theirs)
    return all(number in left for number in ours)


def _among(ours: Run, theirs: Run) -> bool:
    """Whether all our numbers are among theirs in any order."""
    return Counter(ours) <= Counter(theirs)


def _same(one: str | None, other: str | None) -> bool | None:
    """Whether two numbers are the same; of other answers nobody can tell without a verifier: None."""
    numbers = [_number(answer) for answer in (one, other) if answer is not None]
    return numbers[0] == numbers[1] if len(numbers) == 2 and None not in numbers else None


def _number(answer: str) -> Fraction | None:
    plain = next(filter(_NUMBER.fullmatch, (answer.replace(",", "").strip(" $"), "".join(words_of(answer)))), None)
    return Fraction(plain) if plain else None


def _own_runs(problems: Mapping[str, Run]) -> dict[str, set[Run]]:
    """By problem, the runs of words that no other problem of the bench has.

    What several share but for the numbers is the bench's wording, such as "where m and n are relatively prime", and
    says nothing of one problem.
    """
    runs = {id: _all_runs(words) for id, words in problems.items()}
    users = Counter(shape for several in runs.values() for shape in {_shape(run) for run in several})
    return {id: {run for run in several if users[_shape(run)] == 1} for id, several in runs.items()}


def _all_runs(words: Run) -> set[Run]:
    size = min(NGRAM, len(words))
    return set(_runs(words, size)) if size >= _SHORTEST else set()


def _runs(words: Run, size: int) -> "zip[Run]":
    return zip(*(words[start:] for start in range(size)), strict=False)


def _shape(run: Run) -> Run:
    return tuple("0" if is_number(word) else word for word in run)


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _wording(text: str) -> Run:
    """The words without figures, whose drawing commands are alike everywhere."""
    return words_of(_FIGURE.sub(" ", text))
