"""The rules of a two-player zero-sum game, and perfect play by minimax."""

import random
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import ClassVar, Generic, TypeVar

State = TypeVar("State", bound=Hashable)


class Game(ABC, Generic[State]):
    """Rules, as functions of a state; seat 0 is the first player, and 1 the second."""

    name: ClassVar[str]
    rules: ClassVar[str]
    """The rules in words, for a player."""
    most: ClassVar[float] = 1.0
    """The largest payoff, which is what a player without a legal move loses."""

    @abstractmethod
    def deal(self, rng: random.Random) -> str:
        """What chance decides before the first move."""

    @abstractmethod
    def start(self, deal: str) -> State:
        """The state before the first move."""

    @abstractmethod
    def mover(self, state: State) -> int:
        """Whose turn it is."""

    @abstractmethod
    def moves(self, state: State) -> tuple[str, ...]:
        """The legal moves, each a word of small letters; none once the game has ended."""

    @abstractmethod
    def after(self, state: State, move: str) -> State:
        """The state after a legal move."""

    @abstractmethod
    def payoff(self, state: State) -> float:
        """What an ended game pays to the first player, and costs the second."""

    @abstractmethod
    def view(self, state: State, seat: int) -> str:
        """All that a player may know of the state, as text."""

    def perfect(self, state: State) -> Mapping[str, float]:
        """The chance of each move in perfect play; here equal chances of all best moves.

        Minimax, for games without hidden information or chance after the deal.
        """
        sign = 1 if self.mover(state) == 0 else -1
        values = {move: sign * self.value(self.after(state, move)) for move in self.moves(state)}
        best = [move for move, value in values.items() if value == max(values.values())]
        return dict.fromkeys(best, 1 / len(best))

    def value(self, state: State) -> float:
        """The payoff to the first player where both play on perfectly."""
        known = self._values.get(state)
        if known is None:
            known = self._values[state] = self._searched(state)
        return known

    def __init__(self) -> None:
        self._values: dict[State, float] = {}

    def _searched(self, state: State) -> float:
        moves = self.moves(state)
        if not moves:
            return self.payoff(state)
        choose = max if self.mover(state) == 0 else min
        return choose(self.value(self.after(state, move)) for move in moves)
