r"""Benches, indexed to find their problems in training data.

There are three rules: exact match, n-gram overlap and near-duplicates.

One shared 13-gram, GPT-3's rule (arXiv 2005.14165, Appendix C), finds mostly set phrases in
mathematics. So a problem counts as copied when a share of its own 8-grams is found, as in PaLM's
analysis (2204.02311, Section 8), and all of its numbers: with others it is a problem of the same
family. A near-duplicate is a likely copy, to be read and not refused. docs/overlap.md has the
measurement.
"""

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from rlsp_cli.evals.overlap.similarity import SimilarityIndex
from rlsp_cli.evals.overlap.words import is_number, words_of, words_with_spans

NGRAM = 8
"""Words in an n-gram; a shorter problem is one n-gram."""
SHARE = 0.5
"""Share of a bench problem's own n-grams that makes a text a copy of it."""
CANNOT_FIND = (
    "translations, most paraphrases in other words, parts of a problem, "
    "or problems told in pictures"
)
"""What no rule here can find; clean data may hold them."""

EXACT = "exact"
OVERLAP = f"{NGRAM}-gram"
OTHER_NUMBERS = "other numbers"
OTHER_ANSWER = "other answer"
SIMILAR = "words"

_SHORTEST = 6
"""A problem of fewer words is an everyday phrase, and matches as a whole only."""

# A plain number or fraction, with a denominator that is not 0, and short: Python refuses to read
# integers of more than 4,300 digits, and a training row may hold anything.
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40}|/0*[1-9]\d{,40})?")
_FIGURE = re.compile(r"\[asy\].*?(?:\[/asy\]|$)", re.DOTALL)

Ngram = tuple[str, ...]
Key = tuple[str, str]
"""A bench and the id of one of its problems."""


class Match(NamedTuple):
    """A problem of a bench found in a text, and by which rule.

    `exact` and `8-gram` are copies. Likely copies are `other numbers` and `other answer`, which
    overlap like an 8-gram copy, and `words`, which shares most of the rarer words.
    """

    bench: str
    id: str
    rule: str

    @property
    def is_copy(self) -> bool:
        """Whether the text is a copy, and not only a likely one."""
        return self.rule in (EXACT, OVERLAP)


@dataclass(frozen=True)
class _Problem:
    """An indexed problem; `ngrams` counts those that no other problem of its bench has."""

    text: str
    answer: str | None
    numbers: tuple[str, ...]
    ngrams: int


def same_text(text: str) -> str:
    """A key that two texts share exactly when they are the same problem."""
    return _text_key(text, words_of(text))


class OverlapIndex:
    """The problems of benches, to look texts up in; the time for a text grows with its length."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Match]] = {}
        self._owners: dict[int, dict[Ngram, list[Key]]] = {}
        self._problems: dict[Key, _Problem] = {}
        self._similar: dict[str, SimilarityIndex] = {}

    def add(
        self,
        bench: str,
        problems: Mapping[str, str],
        answers: Mapping[str, str] | None = None,
        *,
        exact_only: bool = False,
    ) -> None:
        """Add a bench: texts by problem id.

        `exact_only` is for procedural problems, which share their templates.
        """
        words: dict[str, Ngram] = {}
        for id, text in problems.items():
            whole = words_of(text)
            words[id] = _without_figures(text, whole)

            # Of equal problems in one bench, report the first.
            match = Match(bench, id, EXACT)
            self._exact.setdefault(_text_key(text, whole), {}).setdefault(bench, match)

        ngrams = _distinct_ngrams(words)
        for id, text in problems.items():
            answer = (answers or {}).get(id)
            self._problems[bench, id] = _Problem(text, answer, _numbers(words[id]), len(ngrams[id]))
        if exact_only:
            return

        self._similar[bench] = SimilarityIndex(
            {id: words[id] for id in problems if len(words[id]) >= _SHORTEST}
        )
        for id, own in ngrams.items():
            for ngram in own:
                self._owners.setdefault(len(ngram), {}).setdefault(ngram, []).append((bench, id))

    def match(self, text: str, answer: str | None = None, *, likely: bool = False) -> Match | None:
        """The problem that this text is a copy of.

        With `likely` it is a likely copy, where there is no sure one.
        """
        found = self.matches(text, answer, likely=likely)
        copies = [match for match in found if match.is_copy]
        return next(iter(copies or found), None)

    def matches(self, text: str, answer: str | None = None, *, likely: bool = False) -> list[Match]:
        """The problems that this text is a copy of, or likely one: at most one of each bench."""
        words = words_of(text)
        exact = self._exact.get(_text_key(text, words), {})
        words = _without_figures(text, words)
        found = {match.bench: match for match in self._overlapping(words, answer)} | exact

        # The slowest rule comes last, and only for benches in which the others found nothing.
        if likely:
            found = self._near_duplicates(words, apart_from=found) | found
        return [match for match in found.values() if likely or match.is_copy]

    def text(self, match: Match) -> str:
        """The problem's text."""
        return self._problems[match.bench, match.id].text

    def span(self, text: str, match: Match) -> tuple[int, int]:
        """Start and end in `text` of what it shares with the problem, counted in characters.

        That is from the first shared n-gram to the last, or all of the text when it is the same, or
        when they share words but no n-gram.
        """
        words = words_with_spans(_FIGURE.sub(_blank, text)) if match.rule != EXACT else []
        shared: list[tuple[int, int]] = []
        for size in self._owners:
            shared += self._shared_spans(words, size, match)

        if not shared:
            return 0, len(text)
        return min(start for start, _ in shared), max(end for _, end in shared)

    def _shared_spans(
        self, words: Sequence[tuple[str, int, int]], size: int, match: Match
    ) -> list[tuple[int, int]]:
        """Start and end of each n-gram of this size that is the problem's own."""
        owners, key = self._owners[size], (match.bench, match.id)
        spans = []
        for first in range(len(words) - size + 1):
            part = words[first : first + size]
            if key in owners.get(tuple(word for word, _, _ in part), ()):
                # `words_of` moves fractions, so the first word need not start first.
                spans.append((min(start for _, start, _ in part), max(end for _, _, end in part)))
        return spans

    def _overlapping(self, words: Ngram, answer: str | None) -> list[Match]:
        """The problems of which the text has enough n-grams.

        Copies come last, and of these the one with the greatest share at the end.
        """
        shared: Counter[Key] = Counter()
        for size, owners in self._owners.items():
            ngrams = set(_ngrams(words, size))
            # Most texts share nothing with a bench, and the intersection of key sets is built for
            # those that do.
            if not owners.keys().isdisjoint(ngrams):
                for ngram in ngrams & owners.keys():
                    shared.update(owners[ngram])

        shares = {key: number / self._problems[key].ngrams for key, number in shared.items()}
        matches = []
        for key, share in shares.items():
            if share >= SHARE:
                matches.append(Match(*key, self._rule(key, words, answer, share)))

        # The caller keeps the last of each bench.
        return sorted(matches, key=lambda match: (match.is_copy, shares[match.bench, match.id]))

    def _rule(self, key: Key, words: Ngram, answer: str | None, share: float) -> str:
        """What kind of overlap it is, by the numbers and the answers of both."""
        problem, numbers = self._problems[key], _numbers(words)
        same_answer = _same_number(problem.answer, answer)

        # Reordered numbers are a reworded copy if the answer is the same, and else a variant.
        reordered = same_answer and Counter(problem.numbers) <= Counter(numbers)
        if not (_in_order(problem.numbers, numbers) or reordered):
            return OTHER_NUMBERS
        # A problem found whole is a copy whatever its answer: one of the two answers is wrong.
        return OTHER_ANSWER if share < 1 and same_answer is False else OVERLAP

    def _near_duplicates(self, words: Ngram, apart_from: Container[str]) -> dict[str, Match]:
        found = {}
        for bench, similar in self._similar.items():
            if bench not in apart_from and (id := similar.nearest(words)) is not None:
                found[bench] = Match(bench, id, SIMILAR)
        return found


def _numbers(words: Ngram) -> tuple[str, ...]:
    return tuple(filter(is_number, words))


def _in_order(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether all our numbers are among theirs in the same order."""
    # `in` uses the iterator up to what it finds, so each number is sought behind the last one.
    left = iter(theirs)
    return all(number in left for number in ours)


def _same_number(one: str | None, other: str | None) -> bool | None:
    """Whether two answers are the same number; None unless both are numbers."""
    # Anything else only a verifier could compare, which is too slow for a data set.
    if one is None or other is None:
        return None
    numbers = _number(one), _number(other)
    return None if None in numbers else numbers[0] == numbers[1]


def _number(answer: str) -> Fraction | None:
    spellings = answer.replace(",", "").strip(" $"), "".join(words_of(answer))
    plain = next(filter(_NUMBER.fullmatch, spellings), None)
    return Fraction(plain) if plain else None


def _distinct_ngrams(problems: Mapping[str, Ngram]) -> dict[str, set[Ngram]]:
    """By problem, its n-grams that no other problem of the bench has.

    N-grams that several problems share, numbers apart, are set phrases of the bench, such as "where
    m and n are relatively prime", and identify none of them.
    """
    ngrams = {id: _problem_ngrams(words) for id, words in problems.items()}

    users: Counter[Ngram] = Counter()
    for several in ngrams.values():
        users.update({_without_numbers(ngram) for ngram in several})

    distinct = {}
    for id, several in ngrams.items():
        distinct[id] = {ngram for ngram in several if users[_without_numbers(ngram)] == 1}
    return distinct


def _problem_ngrams(words: Ngram) -> set[Ngram]:
    size = min(NGRAM, len(words))
    return set(_ngrams(words, size)) if size >= _SHORTEST else set()


def _ngrams(words: Ngram, size: int) -> "zip[Ngram]":
    return zip(*(words[start:] for start in range(size)), strict=False)


def _without_numbers(ngram: Ngram) -> Ngram:
    return tuple("0" if is_number(word) else word for word in ngram)


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _text_key(text: str, words: Ngram) -> str:
    return " ".join(words) or text


def _without_figures(text: str, words: Ngram) -> Ngram:
    """The words of a text without its figures, whose drawing commands are alike everywhere.

    They count in an exact match alone. Most texts have none, and are not read twice.
    """
    return words if "[asy]" not in text else words_of(_FIGURE.sub(" ", text))
