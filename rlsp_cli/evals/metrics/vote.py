"""Majority votes over the answers to one problem, where two answers are one when the verifier says so."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

from rlsp_cli.rewards.sample import is_right

Row = dict[str, Any]
Ask = Callable[[Sequence[tuple[Row, str]]], list[bool]]
"""For each pair of a row and another answer's text: whether the verifier, with that text as the reference, holds the
row's response for right."""
RIGHT = "the right answer"
"""What all right responses vote for; wrong answers are called by their text, which has no blanks."""
_INTEGER = re.compile(r"(-(?=0*[1-9]))?-?(?=[0-9])0*([0-9]*)")
_ASKS_PER_TEXT = 4
"""At most so many pairs for each text of a problem: all pairs of nine texts, and of more those with the most votes."""

_TRIED = 16
"""Problems on which it is found out whether references are answers."""


class Vote(NamedTuple):
    """A scored response and the answer that it votes for: RIGHT, the name of a wrong one, or None without an answer."""

    row: Row
    answer: str | None


class Ballot(NamedTuple):
    """The votes on one problem: for the right answer, for each wrong one, and responses without an answer."""

    right: int
    wrong: tuple[int, ...]
    silent: int


def votes(rows: Iterable[Row], ask: Ask | None = None) -> dict[str, list[Vote]]:
    """The votes of each problem's scored responses, in order. Without `ask`, wrong answers are told apart by text.

    All right answers are one. Wrong ones are asked about where there is a right one that they could outvote: the text
    with the most votes is put to the others as their reference, then the next text that is left, and so on. No pair is
    asked twice, and all problems are asked at once. Two different whole numbers are two answers without being asked.
    """
    counts = {id: _Count(several) for id, several in _by_problem(rows).items()}
    if ask:
        _join_same([count for count in counts.values() if count.matters()], ask)
    return {id: count.votes() for id, count in counts.items()}


def ballots(rows: Iterable[Row], ask: Ask | None = None) -> dict[str, Ballot]:
    """The votes of each problem, counted."""
    return {id: _ballot(Counter(vote.answer for vote in several)) for id, several in votes(rows, ask).items()}


def takes_answers(rows: Iterable[Row], ask: Ask) -> bool:
    """Whether the verifier's references are answers, so that it tells which are one without knowing the right one.

    It is tried on some problems with a right and a wrong answer: most right responses must be right by their own answer
    and not by the wrong one. Unit tests and the targets of puzzles are no answers; True where nothing can be tried.
    """
    counts = [_Count(several) for several in _by_problem(rows).values()]
    tried = [count for count in counts if count.right and count.rows][:_TRIED]
    own = ask([(count.right[0], count.right[0]["correctness"]["answer"]) for count in tried])
    other = ask([(count.right[0], count.rows[count.left[0]]["correctness"]["answer"]) for count in tried])
    return 2 * sum(own) >= len(tried) >= 2 * sum(other)


def remembering(ask: Ask) -> Ask:
    """Asks about a response and an answer once, however often it is called."""
    known: dict[tuple[Any, ...], bool] = {}

    def again(pairs: Sequence[tuple[Row, str]]) -> list[bool]:
        keys = [(row["id"], row["kind"], row["index"], text) for row, text in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        known.update(zip(new, ask(list(new.values())) if new else [], strict=True))
        return [known[key] for key in keys]

    return again


def _ballot(counts: Counter[str | None]) -> Ballot:
    wrong = tuple(n for answer, n in counts.items() if answer not in (RIGHT, None))
    return Ballot(counts[RIGHT], wrong, counts[None])


def _join_same(counts: Sequence["_Count"], ask: Ask) -> None:
    alike = ask([count.control() for count in counts]) if counts else []
    counts = [count for count, same in zip(counts, alike, strict=True) if not same]
    while counts:
        pairs = [(count, pair) for count in counts for pair in count.round()]
        same = ask([pair for _, pair in pairs]) if pairs else []
        for (count, (row, text)), yes in zip(pairs, same, strict=True):
            if yes:
                count.join(row, text)
        counts = [count for count in counts if count.left and count.asks]


def maj_at_k(ballot: Ballot, k: int) -> float:
    """Chance that the right answer wins the vote of k responses, drawn without replacement; ties are drawn by lot.

    Exact: for every number of right votes, the ways in which no wrong answer gets more, by how many get as many.
    """
    return _chance(Ballot(ballot.right, tuple(sorted(ballot.wrong)), ballot.silent), k)


@cache
def _chance(ballot: Ballot, k: int) -> float:
    total = Fraction(0)
    for votes in range(1, min(ballot.right, k) + 1):
        for (others, ties), ways in _ways(ballot, votes, k - votes).items():
            drawn = math.comb(ballot.right, votes) * ways * math.comb(ballot.silent, k - votes - others)
            total += Fraction(drawn, 1 + ties)
    return float(total / math.comb(ballot.right + sum(ballot.wrong) + ballot.silent, k))


def _ways(ballot: Ballot, most: int, room: int) -> dict[tuple[int, int], int]:
    """(votes for wrong answers, how many of these have `most`) -> ways to draw them, at most `room` in all."""
    ways, left = {(0, 0): 1}, sum(ballot.wrong) + ballot.silent
    for size in ballot.wrong:
        left -= size
        grown: dict[tuple[int, int], int] = defaultdict(int)
        for (others, ties), count in ways.items():
            # What is drawn of the rest must still be able to fill the room.
            for votes in range(max(0, room - others - left), min(size, most, room - others) + 1):
                grown[others + votes, ties + (votes == most)] += count * math.comb(size, votes)
        ways = grown
    return ways


def _by_problem(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["correctness"]["value"] is not None:
            found[row["id"]].append(row)
    return found


class _Count:
    """The answers to one problem while it is found out which of them are the same."""

    def __init__(self, rows: Sequence[Row]) -> None:
        answered = [row for row in rows if _text(row)]
        self.all = rows
        self.right = [row for row in answered if is_right(row["correctness"]["value"])]
        wrong = [row for row in answered if not is_right(row["correctness"]["value"])]
        self.rows = {_text(row): row for row in reversed(wrong)}  # the first row of each text
        self.same: dict[str, str] = {}
        self.left = [text for text, _ in Counter(map(_text, wrong)).most_common()]
        self.asks = _ASKS_PER_TEXT * len(self.left)

    def matters(self) -> bool:
        """Whether it can change a vote which wrong answers are the same."""
        return bool(self.right) and len(self.left) > 1

    def control(self) -> tuple[Row, str]:
        """A wrong row and a right answer: who holds them for the same takes no answers for references."""
        return self.rows[self.left[0]], self.right[0]["correctness"]["answer"]

    def round(self) -> list[tuple[Row, str]]:
        """Take the next text; all that are left are to be asked whether they are the same as it."""
        text = self.left.pop(0)
        answer = self.rows[text]["correctness"]["answer"]
        others = [other for other in self.left if not _two_integers(text, other)][: self.asks]
        self.asks -= len(others)
        return [(self.rows[other], answer) for other in others]

    def join(self, row: Row, answer: str) -> None:
        """Count the votes of this row's text for that answer."""
        text = _text(row)
        self.same[text] = "".join(answer.split())
        self.left.remove(text)

    def votes(self) -> list[Vote]:
        """Every response with the name of its answer."""
        return [Vote(row, self._name(row)) for row in self.all]

    def _name(self, row: Row) -> str | None:
        text = _text(row)
        if text and is_right(row["correctness"]["value"]):
            return RIGHT
        return self.same.get(text, text) or None


def _text(row: Row) -> str:
    """The answer without white space; nothing where there is none."""
    return "".join((row["correctness"]["answer"] or "").split())


def _two_integers(left: str, right: str) -> bool:
    """Whether both are whole numbers, and not the same one."""
    numbers = [_INTEGER.fullmatch(text) for text in (left, right)]
    return all(numbers) and len({number.groups() for number in numbers if number}) > 1
