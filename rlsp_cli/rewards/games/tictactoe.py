"""Tic-tac-toe."""

import random

from rlsp_cli.rewards.games.game import Game

_SIGNS = "XO"
_LINES = ("123", "456", "789", "147", "258", "369", "159", "357")


class TicTacToe(Game[str]):
    """A state is the nine cells, a free one as its number; a move is the number of a free cell."""

    name = "tictactoe"
    rules = (
        "Tic-tac-toe: two players, X and O, mark free cells of a board in turn, X first. The cells "
        "are numbered 1 to 9, row by row. Who has three of a row, a column or a diagonal wins."
    )

    def deal(self, rng: random.Random) -> str:
        """Nothing is left to chance."""
        return ""

    def start(self, deal: str) -> str:
        """An empty board."""
        return "123456789"

    def mover(self, state: str) -> int:
        """X after an even number of moves."""
        return sum(cell in _SIGNS for cell in state) % 2

    def moves(self, state: str) -> tuple[str, ...]:
        """The free cells."""
        if self._winner(state) is not None:
            return ()
        return tuple(cell for cell in state if cell not in _SIGNS)

    def after(self, state: str, move: str) -> str:
        """The cell is marked."""
        return state.replace(move, _SIGNS[self.mover(state)])

    def payoff(self, state: str) -> float:
        """1 if X has won, -1 if O has, 0 for a draw."""
        winner = self._winner(state)
        return 0.0 if winner is None else 1.0 - 2.0 * winner

    def view(self, state: str, seat: int) -> str:
        """The player's sign and the cells in order."""
        return f"{_SIGNS[seat]} : {' '.join(state)}"

    def _winner(self, state: str) -> int | None:
        for line in _LINES:
            signs = {state[int(cell) - 1] for cell in line}
            if len(signs) == 1:
                return _SIGNS.index(signs.pop())
        return None
