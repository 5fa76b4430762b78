"""Majority votes over the answers to one problem; the verifier says which are the same."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from rlsp_cli.evals.answer import Key, Scored

SameAnswer = Callable[[Sequence[tuple[Scored, str]]], list[bool]]
"""For each pair of a response and another answer's text: whether the verifier accepts the response
with that text as the reference."""

RIGHT = "the right answer"
"""What all correct responses vote for. Wrong answers go by their text, which has no blanks."""

_INTEGER = re.compile(r"(-(?=0*[1-9]))?-?(?=[0-9])0*([0-9]*)")
_PAIRS_PER_TEXT = 4
"""Pairs that the verifier sees at most for each text of a problem: all pairs of nine texts."""
_TRIED = 16
"""Problems on which `takes_answers` tries the verifier."""


class Vote(NamedTuple):
    """A scored response and the answer it votes for.

    That is RIGHT, a wrong answer's name, or None without an answer.
    """

    row: Scored
    answer: str | None


class Ballot(NamedTuple):
    """The votes on one problem: for the right answer, for each wrong one, and for none."""

    right: int
    wrong: tuple[int, ...]
    unanswered: int


def votes(rows: Iterable[Scored], same: SameAnswer | None = None) -> dict[str, list[Vote]]:
    """The votes of each problem's scored responses, in order.

    All right answers are one. Wrong ones are compared by `same`, or as text without it, and only if
    there is a right one that they could outvote: the text with the most votes becomes the reference
    of the others, then the next text that is left, and so on. No pair is compared twice, and each
    round compares those of all problems in one call. Two different integers are different answers
    without a comparison.
    """
    problems = {id: _AnswerClasses(several) for id, several in _by_problem(rows).items()}

    if same:
        _join_same([classes for classes in problems.values() if classes.can_matter], same)

    return {id: classes.votes() for id, classes in problems.items()}


def ballots(rows: Iterable[Scored], same: SameAnswer | None = None) -> dict[str, Ballot]:
    """The votes of each problem, counted."""
    return {id: _ballot(several) for id, several in votes(rows, same).items()}


def takes_answers(rows: Iterable[Scored], same: SameAnswer) -> bool:
    """Whether the verifier's references are answers, so that it can compare any two answers.

    Unit tests and the targets of puzzles are not answers. The verifier is tried on some problems
    with a right and a wrong answer: it must accept most right responses with their own answer as
    the reference, and reject most with the wrong one. True if there is nothing to try.
    """
    problems = [_AnswerClasses(several) for several in _by_problem(rows).values()]
    tried = [classes for classes in problems if classes.right and classes.pending][:_TRIED]

    # Both calls ask about correct responses, whose own answer is right by the bench's reference.
    own = same([(classes.right[0], classes.right[0].extracted or "") for classes in tried])
    other = same(
        [(classes.right[0], classes.wrong_answer(classes.pending[0])) for classes in tried]
    )
    return 2 * sum(own) >= len(tried) >= 2 * sum(other)


def remembering(same: SameAnswer) -> SameAnswer:
    """Compare a response with an answer once, however often maj@k and the strategies ask."""
    known: dict[tuple[Key, str], bool] = {}

    def again(pairs: Sequence[tuple[Scored, str]]) -> list[bool]:
        new = {(row.key, text): (row, text) for row, text in pairs if (row.key, text) not in known}
        if new:
            known.update(zip(new, same(list(new.values())), strict=True))
        return [known[row.key, text] for row, text in pairs]

    return again


def maj_at_k(ballot: Ballot, k: int) -> float:
    """Chance that the right answer wins the vote of k responses, drawn without replacement.

    Ties are broken uniformly at random. It is exact: for each number of right votes, it counts the
    draws in which no wrong answer gets more, by how many wrong answers get as many.
    """
    # Many problems have the same counts, so the order of the wrong ones must not tell them apart.
    return _chance(Ballot(ballot.right, tuple(sorted(ballot.wrong)), ballot.unanswered), k)


@cache
def _chance(ballot: Ballot, k: int) -> float:
    # In integers and fractions: C(64, 32) and its like lose digits as floats.
    total = Fraction(0)
    for votes in range(1, min(ballot.right, k) + 1):
        right_draws = math.comb(ballot.right, votes)

        for (others, ties), ways in _ways(ballot, votes, k - votes).items():
            other_draws = math.comb(ballot.unanswered, k - votes - others)
            total += Fraction(right_draws * ways * other_draws, 1 + ties)

    responses = ballot.right + sum(ballot.wrong) + ballot.unanswered
    return float(total / math.comb(responses, k))


def _ways(ballot: Ballot, most: int, room: int) -> dict[tuple[int, int], int]:
    """Ways to draw up to `room` wrong votes, with at most `most` for each answer.

    They are counted by (votes for wrong answers, wrong answers with exactly `most` votes).
    """
    ways, left = {(0, 0): 1}, sum(ballot.wrong) + ballot.unanswered

    # Dynamic programming: one wrong answer after the other.
    for size in ballot.wrong:
        left -= size
        grown: dict[tuple[int, int], int] = defaultdict(int)
        for (others, ties), count in ways.items():
            # Fewer votes than this could not be made up for by all that is left to draw from.
            least = max(0, room - others - left)
            for votes in range(least, min(size, most, room - others) + 1):
                grown[others + votes, ties + (votes == most)] += count * math.comb(size, votes)
        ways = grown

    return ways


class _AnswerClasses:
    """The wrong answers to one problem, in classes of equal ones.

    It is a union-find with a budget of comparisons. Texts wait in the order of their votes. In each
    round the first one becomes the representative of a class, and the verifier says which of the
    others equal it. Of `1/2`, `0.5` and `2`, the first round puts `0.5` and `2` beside `1/2` and
    joins `0.5` to it; the second finds nothing left to compare `2` with.
    """

    def __init__(self, rows: Sequence[Scored]) -> None:
        answered = [row for row in rows if _text(row)]
        wrong = [row for row in answered if not row.right]
        self.rows = rows
        self.right = [row for row in answered if row.right]

        # Reversed, so that the first response with a text is the one that stays.
        self.first_row = {_text(row): row for row in reversed(wrong)}
        self.representative: dict[str, str] = {}
        self.pending = [text for text, _ in Counter(map(_text, wrong)).most_common()]
        self.budget = _PAIRS_PER_TEXT * len(self.pending)

    @property
    def can_matter(self) -> bool:
        """Whether joining wrong answers can change who wins."""
        return bool(self.right) and len(self.pending) > 1

    @property
    def is_open(self) -> bool:
        """Whether there are texts left, and a budget to compare them."""
        return bool(self.pending) and self.budget > 0

    def wrong_answer(self, text: str) -> str:
        """A wrong answer as the response has it, blanks included."""
        return self.first_row[text].extracted or ""

    def control(self) -> tuple[Scored, str]:
        """A wrong response and a right answer: a verifier that compares answers rejects it."""
        return self.first_row[self.pending[0]], self.right[0].extracted or ""

    def next_round(self) -> list[tuple[Scored, str]]:
        """Make the next text a representative; the pairs that compare the pending ones with it."""
        text = self.pending.pop(0)

        # A verifier call can take seconds; two integers need none.
        others = [other for other in self.pending if not _two_integers(text, other)][: self.budget]
        self.budget -= len(others)
        return [(self.first_row[other], self.wrong_answer(text)) for other in others]

    def join(self, row: Scored, answer: str) -> None:
        """Put the text of this response into the class of that answer."""
        text = _text(row)
        self.representative[text] = _without_blanks(answer)
        self.pending.remove(text)

    def votes(self) -> list[Vote]:
        """Every response with the name of its answer's class."""
        return [Vote(row, self._vote(row)) for row in self.rows]

    def _vote(self, row: Scored) -> str | None:
        text = _text(row)
        if text and row.right:
            return RIGHT
        return self.representative.get(text, text) or None


def _join_same(problems: Sequence[_AnswerClasses], same: SameAnswer) -> None:
    """Compare in rounds, all problems at once: the verifier's processes then have enough to do."""
    # A verifier whose reference is no answer, such as unit tests, accepts its control pair. What it
    # says of two wrong answers means nothing then, so these problems go by text.
    accepted = same([classes.control() for classes in problems]) if problems else []
    going = [classes for classes, is_same in zip(problems, accepted, strict=True) if not is_same]

    while going:
        pairs: list[tuple[_AnswerClasses, tuple[Scored, str]]] = []
        for classes in going:
            pairs += [(classes, pair) for pair in classes.next_round()]
        equal = same([pair for _, pair in pairs]) if pairs else []

        for (classes, (row, answer)), is_equal in zip(pairs, equal, strict=True):
            if is_equal:
                classes.join(row, answer)

        going = [classes for classes in going if classes.is_open]


def _ballot(several: Sequence[Vote]) -> Ballot:
    counts = Counter(vote.answer for vote in several)
    wrong = tuple(n for answer, n in counts.items() if answer not in (RIGHT, None))
    return Ballot(counts[RIGHT], wrong, counts[None])


def _by_problem(rows: Iterable[Scored]) -> dict[str, list[Scored]]:
    problems: dict[str, list[Scored]] = defaultdict(list)
    for row in rows:
        if row.value is not None:
            problems[row.id].append(row)
    return problems


def _text(row: Scored) -> str:
    """The answer without white space; empty if there is none."""
    return _without_blanks(row.extracted or "")


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def _two_integers(left: str, right: str) -> bool:
    """Whether both are integers, and different ones."""
    numbers = [_INTEGER.fullmatch(text) for text in (left, right)]
    return all(numbers) and len({number.groups() for number in numbers if number}) > 1
