"""Players that need no model."""

import random
from typing import Literal

from rlsp_cli.rewards.games.match import Match

Player = Literal["random", "perfect"]
"""`random` plays any legal move, each with the same chance; `perfect` plays by `Game.perfect`."""


def move_of(player: Player, match: Match, rng: random.Random) -> str:
    """The move of a player whose turn it is."""
    if player == "random":
        return rng.choice(match.game.moves(match.state))
    chances = match.game.perfect(match.state)
    return rng.choices(list(chances), list(chances.values()))[0]
