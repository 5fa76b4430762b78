"""Kuhn poker: three cards, one bet. Its equilibrium is known (H. W. Kuhn, 1950)."""

import random
from collections.abc import Mapping

from rlsp_cli.rewards.games.game import Game

State = tuple[str, tuple[str, ...]]
"""The cards of both players, and the moves so far."""
_CARDS = "JQK"
_ENDS = (("check", "check"), ("bet", "fold"), ("bet", "call"))
_BLUFF = 1 / 3
"""How often the first player bets with the jack; any chance from 0 to 1/3 is an equilibrium."""


class KuhnPoker(Game[State]):
    """Payoffs are in chips: the ante of 1, or 2 after a bet that was called."""

    name = "kuhn_poker"
    rules = (
        "Kuhn poker: two players get a card each from a jack, a queen and a king (J < Q < K), and "
        "put one chip in the pot. The first may check or bet one chip. After a check the second "
        "may check or bet. After a bet the other may call, for one chip, or fold and lose the pot. "
        "Else the higher card wins it."
    )
    most = 2.0

    def deal(self, rng: random.Random) -> str:
        """The first player's card and the second's."""
        return "".join(rng.sample(_CARDS, 2))

    def start(self, deal: str) -> State:
        """No move was made."""
        return deal, ()

    def mover(self, state: State) -> int:
        """The players take turns."""
        return len(state[1]) % 2

    def moves(self, state: State) -> tuple[str, ...]:
        """Check or bet; after a bet call or fold."""
        moves = state[1]
        if moves[-2:] in _ENDS:
            return ()
        return ("call", "fold") if moves[-1:] == ("bet",) else ("check", "bet")

    def after(self, state: State, move: str) -> State:
        """The move is remembered."""
        cards, moves = state
        return cards, (*moves, move)

    def payoff(self, state: State) -> float:
        """The chips that the first player wins."""
        cards, moves = state
        if moves[-1] == "fold":
            return 1.0 if len(moves) == 2 else -1.0
        stake = 2.0 if moves[-1] == "call" else 1.0
        wins = _CARDS.index(cards[0]) > _CARDS.index(cards[1])
        return stake if wins else -stake

    def view(self, state: State, seat: int) -> str:
        """The player's own card, and the moves so far."""
        cards, moves = state
        return " ".join([cards[seat], ":", *moves])

    def perfect(self, state: State) -> Mapping[str, float]:
        """The equilibrium in which the first player bluffs most; worth -1/18 to the first player."""
        cards, moves = state
        card = cards[self.mover(state)]
        aggressive, other = ("call", "fold") if moves[-1:] == ("bet",) else ("bet", "check")
        chance = _AGGRESSIVE[moves][_CARDS.index(card)]
        return {aggressive: chance, other: 1 - chance}


_AGGRESSIVE = {
    (): (_BLUFF, 0.0, 3 * _BLUFF),
    ("check",): (1 / 3, 0.0, 1.0),
    ("bet",): (0.0, 1 / 3, 1.0),
    ("check", "bet"): (0.0, _BLUFF + 1 / 3, 1.0),
}
"""By the moves so far: how often the player bets or calls with the jack, the queen and the king."""
