"""Nim with three piles: who takes the last stick wins."""

import random

from rlsp_cli.rewards.games.game import Game

State = tuple[int, tuple[int, ...]]
"""Whose turn it is, and the sticks in each pile."""
_PILES = "abc"
_LARGEST = 5


class Nim(Game[State]):
    """A move is a pile and how many sticks to take from it, such as b2."""

    name = "nim"
    rules = (
        "Nim: there are three piles of sticks, a, b and c. Two players in turn take any number of "
        "sticks from one pile, at least one. Who takes the last stick wins. b2 takes two sticks "
        "from pile b."
    )

    def deal(self, rng: random.Random) -> str:
        """The sizes of the piles, each from 1 to 5."""
        return " ".join(str(rng.randint(1, _LARGEST)) for _ in _PILES)

    def start(self, deal: str) -> State:
        """The first player is to move."""
        return 0, tuple(map(int, deal.split()))

    def mover(self, state: State) -> int:
        """The players take turns."""
        return state[0]

    def moves(self, state: State) -> tuple[str, ...]:
        """All that can be taken from one pile."""
        piles = zip(_PILES, state[1], strict=True)
        return tuple(f"{name}{count}" for name, size in piles for count in range(1, size + 1))

    def after(self, state: State, move: str) -> State:
        """The pile is smaller, and it is the other's turn."""
        mover, piles = state
        left = list(piles)
        left[_PILES.index(move[0])] -= int(move[1:])
        return 1 - mover, tuple(left)

    def payoff(self, state: State) -> float:
        """1 if the first player took the last stick, else -1: who would be next has lost."""
        return 1.0 if state[0] == 1 else -1.0

    def view(self, state: State, seat: int) -> str:
        """The sticks in each pile."""
        return " ".join(f"{name} {size}" for name, size in zip(_PILES, state[1], strict=True))
