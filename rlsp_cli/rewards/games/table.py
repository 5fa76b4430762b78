"""The games by name, and those of a user by file and class."""

from functools import cache
from pathlib import Path
from typing import Any

from rlsp_cli.rewards.games.game import Game
from rlsp_cli.rewards.games.kuhn_poker import KuhnPoker
from rlsp_cli.rewards.games.negotiation import Negotiation
from rlsp_cli.rewards.games.nim import Nim
from rlsp_cli.rewards.games.tictactoe import TicTacToe
from rlsp_cli.rewards.plugin_file import load_file

GAMES: dict[str, Game[Any]] = {
    game.name: game for game in (KuhnPoker(), Negotiation(), Nim(), TicTacToe())
}


@cache
def game_of(name: str) -> Game[Any]:
    """The game of a name, or of `/path/file.py:Class`; ValueError names those that there are."""
    path, _, named = name.rpartition(":")
    found = getattr(load_file(Path(path)), named, None) if path.endswith(".py") else None
    if isinstance(found, type) and issubclass(found, Game):
        return found()
    if name not in GAMES:
        raise ValueError(
            f"no game is called {name!r}; there are {', '.join(sorted(GAMES))}, and those of your "
            "own as /path/file.py:Class, a subclass of rlsp_cli.rewards.games.Game"
        )
    return GAMES[name]
