"""Negotiation about two kinds of things, whose worth each player knows for itself alone."""

import random
from collections.abc import Mapping
from itertools import product

from rlsp_cli.rewards.games.game import Game

State = tuple[str, tuple[str, ...]]
"""What an a and a b are worth to the first player and to the second, and the moves so far."""
_THINGS = 2
"""Of each kind."""
_OFFERS = tuple(f"a{a}b{b}" for a, b in product(range(_THINGS + 1), repeat=2))
_MOST_OFFERS = 4
_WORTHS = ("13", "22", "31")
"""What an a and a b may be worth: all of the things together are worth 8 to everybody."""


class Negotiation(Game[State]):
    """The payoff is what the first player's share is worth to it, less the same of the second."""

    name = "negotiation"
    rules = (
        "Negotiation: there are two a and two b. What they are worth is for each player another "
        "secret: an a and a b are worth 1 and 3, 2 and 2, or 3 and 1. In turn the players offer a "
        "split or end the game. a2b1 offers to take two a and one b and to leave the rest. accept "
        "takes the last offer, and refuse ends without a deal; after four offers one of them has "
        "to be said. The player wins whose share is worth more to it; no deal is a draw."
    )
    most = 8.0

    def deal(self, rng: random.Random) -> str:
        """The worths of the first player and of the second."""
        return rng.choice(_WORTHS) + rng.choice(_WORTHS)

    def start(self, deal: str) -> State:
        """No move was made."""
        return deal, ()

    def mover(self, state: State) -> int:
        """The players take turns."""
        return len(state[1]) % 2

    def moves(self, state: State) -> tuple[str, ...]:
        """Offers, and after one also its acceptance and the end."""
        moves = state[1]
        if not moves:
            return _OFFERS
        if moves[-1] not in _OFFERS:
            return ()
        return ("accept", "refuse", *(_OFFERS if len(moves) < _MOST_OFFERS else ()))

    def after(self, state: State, move: str) -> State:
        """The move is remembered."""
        worths, moves = state
        return worths, (*moves, move)

    def payoff(self, state: State) -> float:
        """What both shares are worth to their owners, the first less the second; 0 without a deal."""
        worths, moves = state
        if moves[-1] != "accept":
            return 0.0
        offerer = len(moves) % 2
        gain = _gain(moves[-2], worths[2 * offerer :][:2], worths[2 - 2 * offerer :][:2])
        return float(gain if offerer == 0 else -gain)

    def view(self, state: State, seat: int) -> str:
        """What things are worth to the player, and the moves so far."""
        worths, moves = state
        own = worths[2 * seat :][:2]
        return " ".join([f"a {own[0]} b {own[1]} :", *moves])

    def perfect(self, state: State) -> Mapping[str, float]:
        """Equal chances of all moves that cannot lose, whatever things are worth to the other.

        Either player can play so, and lose nothing: hence the game is worth 0, and this is an
        equilibrium. It accepts where it may win.
        """
        worths, moves = state
        seat = self.mover(state)
        own = worths[2 * seat :][:2]
        if moves:
            gains = [-_gain(moves[-1], other, own) for other in _WORTHS]
            if min(gains) >= 0 and max(gains) > 0:
                return {"accept": 1.0}

        safe = [offer for offer in _OFFERS if min(_gain(offer, own, o) for o in _WORTHS) >= 0]
        allowed = [move for move in self.moves(state) if move in safe] or ["refuse"]
        return dict.fromkeys(allowed, 1 / len(allowed))


def _gain(offer: str, own: str, other: str) -> int:
    """What an offer is worth to who makes it, less what it leaves to the other."""
    taken = int(offer[1]), int(offer[3])
    kept = sum(count * int(worth) for count, worth in zip(taken, own, strict=True))
    left = sum((_THINGS - count) * int(worth) for count, worth in zip(taken, other, strict=True))
    return kept - left
