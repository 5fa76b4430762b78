"""Texts that share most of their telling words: paraphrases, edited copies, problems of one family.

A word tells the more the fewer problems have it (inverse document frequency), and two texts are compared as sets of
words by Tversky's index (Psychological Review 84, 1977), in which what only the text has counts half: instructions
around a problem do not make it another one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from rlsp_cli.data.wording import is_number

LIKE = 0.65
"""Least index of a likely copy."""
LIKE_WITH_NUMBERS = 0.4
"""The same where the text has all numbers of the problem."""
_OUTSIDE = 0.5
"""What a word of the text counts that the problem lacks."""
_SPARE = 0.3
"""Share of a problem's weight that is not looked up, because its stems are in most problems."""
_PER_WORD = LIKE_WITH_NUMBERS * _OUTSIDE / (1 + LIKE_WITH_NUMBERS * _OUTSIDE)
_PER_STEM = LIKE_WITH_NUMBERS / (1 + LIKE_WITH_NUMBERS * _OUTSIDE) - _SPARE
"""What is looked up and shared weighs at least so much of text and problem if the index is that of a copy."""
_ENDINGS = ("ing", "ed", "es", "s", "e")


class Likeness:
    """The problems of one bench, by the words that tell them apart."""

    def __init__(self, problems: Mapping[str, Sequence[str]]) -> None:
        self._stems = {id: _stems(words) for id, words in problems.items()}
        self._numbers = {id: _numbers(words) for id, words in problems.items()}
        users = Counter(stem for stems in self._stems.values() for stem in stems)
        self._unknown = math.log(len(problems) + 1)
        self._weights = {stem: math.log((len(problems) + 1) / (number + 0.5)) for stem, number in users.items()}
        self._sizes = {id: self._weigh(stems) for id, stems in self._stems.items()}
        self._owners = self._telling()

    def nearest(self, words: Sequence[str]) -> str | None:
        """The id of the problem that a text is a likely copy of; None when there is none."""
        stems, numbers = _stems(words), _numbers(words)
        shared: dict[str, float] = defaultdict(float)
        for stem in stems & self._owners.keys():
            for id in self._owners[stem]:
                shared[id] += self._weights[stem]
        size = self._weigh(stems)
        floor = _PER_WORD * size
        near = [id for id, weight in shared.items() if weight >= floor + _PER_STEM * self._sizes[id]]
        excess = {id: self._index(id, stems, size) - self._needed(id, numbers) for id in near}
        best = max(excess, key=excess.__getitem__, default=None)
        return best if best is not None and excess[best] >= 0 else None

    def _index(self, id: str, stems: set[str], size: float) -> float:
        return _tversky(self._weigh(stems & self._stems[id]), self._sizes[id], size)

    def _needed(self, id: str, numbers: Counter[str]) -> float:
        ours = self._numbers[id]
        return LIKE_WITH_NUMBERS if ours and ours <= numbers else LIKE

    def _weigh(self, stems: set[str]) -> float:
        return sum(self._weights.get(stem, self._unknown) for stem in stems)

    def _telling(self) -> dict[str, list[str]]:
        """Stem -> problems, but for each problem's commonest stems, together at most a share of `_SPARE` of it."""
        owners: dict[str, list[str]] = defaultdict(list)
        for id, stems in self._stems.items():
            spare = _SPARE * self._sizes[id]
            for stem in sorted(stems, key=lambda stem: (self._weights[stem], stem)):
                spare -= self._weights[stem]
                if spare < 0:
                    owners[stem].append(id)
        return dict(owners)


def _numbers(words: Sequence[str]) -> Counter[str]:
    return Counter(filter(is_number, words))


def _stems(words: Sequence[str]) -> set[str]:
    return set(map(_stem, words))


@lru_cache(maxsize=2**16)
def _stem(word: str) -> str:
    """A word without the commonest English endings."""
    ending = next((ending for ending in _ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
    return word.removesuffix(ending)


def _tversky(shared: float, problem: float, text: float) -> float:
    return shared / (problem + _OUTSIDE * max(text - shared, 0))
