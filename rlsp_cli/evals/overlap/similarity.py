"""Near-duplicates by words: paraphrases, edited copies, problems of one family.

The fewer problems have a word, the more it says (inverse document frequency). Two texts are
compared as sets of words by Tversky's index (Psychological Review 84, 1977), in which words that
only the text has count half: instructions around a problem do not make it another one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from rlsp_cli.evals.overlap.words import is_number

THRESHOLD = 0.65
"""Least Tversky index of a near-duplicate."""
THRESHOLD_WITH_NUMBERS = 0.4
"""Least Tversky index where the text also has all numbers of the problem."""
_EXTRA = 0.5
"""Weight in Tversky's index of a word of the text that the problem lacks (beta; alpha is 1)."""
_UNINDEXED = 0.3
"""Share of a problem's weight that is not looked up: stems that most problems have."""

# For text t, problem p and shared weight s, an index s / (p + beta (t - s)) of at least L means
#     s >= (L p + L beta t) / (1 + L beta),
# of which at most `_UNINDEXED` p is not looked up. Problems below this bound need no exact index.
_BOUND_BY_TEXT = THRESHOLD_WITH_NUMBERS * _EXTRA / (1 + THRESHOLD_WITH_NUMBERS * _EXTRA)
_BOUND_BY_PROBLEM = THRESHOLD_WITH_NUMBERS / (1 + THRESHOLD_WITH_NUMBERS * _EXTRA) - _UNINDEXED

_ENDINGS = ("ing", "ed", "es", "s", "e")
_SHORTEST_STEM = 3


class SimilarityIndex:
    """The problems of one bench, each given by its words, to look up which one a text resembles."""

    def __init__(self, problems: Mapping[str, Sequence[str]]) -> None:
        self._stems = {id: _stems(words) for id, words in problems.items()}
        self._numbers = {id: _numbers(words) for id, words in problems.items()}

        users: Counter[str] = Counter()
        for stems in self._stems.values():
            users.update(stems)

        # log((N + 1) / (n + 1/2)): even a stem that all N problems use weighs a little. One that
        # none of them uses weighs about as much as the rarest.
        self._unknown = math.log(len(problems) + 1)
        self._weights = {
            stem: math.log((len(problems) + 1) / (number + 0.5)) for stem, number in users.items()
        }
        self._sizes = {id: self._weight(stems) for id, stems in self._stems.items()}
        self._users = self._inverted()

    def nearest(self, words: Sequence[str]) -> str | None:
        """The id of the problem that a text is a near-duplicate of; None when there is none."""
        stems, numbers = _stems(words), _numbers(words)
        size = self._weight(stems)

        # By how much each is above its own threshold, since two thresholds do not compare.
        excess: dict[str, float] = {}
        for id in self._candidates(stems, size):
            shared = self._weight(stems & self._stems[id])
            excess[id] = _tversky(shared, self._sizes[id], size) - self._threshold(id, numbers)

        best = max(excess, key=excess.__getitem__, default=None)
        return best if best is not None and excess[best] >= 0 else None

    def _candidates(self, stems: set[str], size: float) -> list[str]:
        """The problems that share enough indexed stems to pass a threshold; no other can."""
        shared: dict[str, float] = defaultdict(float)
        for stem in stems & self._users.keys():
            for id in self._users[stem]:
                shared[id] += self._weights[stem]

        candidates = []
        for id, weight in shared.items():
            if weight >= _BOUND_BY_TEXT * size + _BOUND_BY_PROBLEM * self._sizes[id]:
                candidates.append(id)
        return candidates

    def _threshold(self, id: str, numbers: Counter[str]) -> float:
        """The least index that counts for this problem: lower if the text has all its numbers."""
        ours = self._numbers[id]
        return THRESHOLD_WITH_NUMBERS if ours and ours <= numbers else THRESHOLD

    def _weight(self, stems: set[str]) -> float:
        return sum(self._weights.get(stem, self._unknown) for stem in stems)

    def _inverted(self) -> dict[str, list[str]]:
        """Stem -> problems, without each problem's commonest stems.

        These make up at most `_UNINDEXED` of its weight, and most of the time that a lookup takes.
        """
        users: dict[str, list[str]] = defaultdict(list)
        for id, stems in self._stems.items():
            spare = _UNINDEXED * self._sizes[id]
            for stem in sorted(stems, key=lambda stem: (self._weights[stem], stem)):
                spare -= self._weights[stem]
                if spare < 0:
                    users[stem].append(id)
        return dict(users)


def _numbers(words: Sequence[str]) -> Counter[str]:
    return Counter(filter(is_number, words))


def _stems(words: Sequence[str]) -> set[str]:
    return set(map(_stem, words))


@lru_cache(maxsize=2**16)
def _stem(word: str) -> str:
    """A word without the commonest English endings."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word.removesuffix(ending)
    return word


def _tversky(shared: float, problem: float, text: float) -> float:
    """Tversky's index with alpha 1 and beta `_EXTRA`, from both weights and the shared one."""
    # Rounding can make `shared` a little greater than the text's own weight.
    return shared / (problem + _EXTRA * max(text - shared, 0))
