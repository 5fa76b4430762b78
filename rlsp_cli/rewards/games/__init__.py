"""Two-player zero-sum games in text: their rules, perfect players, and one game of a response."""

from rlsp_cli.rewards.games.game import Game
from rlsp_cli.rewards.games.match import Match, stated_move
from rlsp_cli.rewards.games.players import Player, move_of
from rlsp_cli.rewards.games.table import GAMES, game_of

__all__ = ["GAMES", "Game", "Match", "Player", "game_of", "move_of", "stated_move"]
