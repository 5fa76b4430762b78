"""One game as a response in turns has it: its moves are read again from what was said."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from rlsp_cli.rewards.answers import boxed_answer
from rlsp_cli.rewards.games.game import Game
from rlsp_cli.rewards.games.table import game_of
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.turns import MODEL, Turns

_BAR = " | "
"""Between the other player's move and what the player sees after it."""
_NO_MOVE = "none"
"""In the place of a move that is not legal."""
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Match:
    """A game after some `moves`, for the player in `seat`: 0 is the first player, and 1 the second.

    `stuck` says that who was to move gave no legal move, which ends the game. `rules` come before
    all that a player is told first.
    """

    game: Game[Any]
    deal: str
    seat: int
    rules: str = ""
    moves: tuple[str, ...] = ()
    stuck: bool = False

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Match":
        """The game of a row, after the moves of its `opening`."""
        match = cls(game_of(row["game"]), row["deal"], int(row["seat"]), row["rules"])
        return reduce(Match.moved, row["opening"], match)

    @classmethod
    def of_sample(cls, sample: Sample) -> "Match":
        """The game of a response, after all that was said in it."""
        match = cls.of_row(sample.metadata)
        for turn in (sample.turns or Turns()).said:
            if match.over:
                break
            is_ours = turn.by == MODEL
            match = match.moved(
                stated_move(turn.text if is_ours else turn.text.rpartition(_BAR)[0])
            )
        return match

    @property
    def state(self) -> Any:
        """The state of the game."""
        return reduce(self.game.after, self.moves, self.game.start(self.deal))

    @property
    def over(self) -> bool:
        """Whether no move is left to be made."""
        return self.stuck or not self.game.moves(self.state)

    def moved(self, move: str | None) -> "Match":
        """After a move; without a legal one the game ends."""
        if move not in self.game.moves(self.state):
            return replace(self, stuck=True)
        return replace(self, moves=(*self.moves, move))

    def told(self, seat: int) -> str:
        """What the player in a seat is told when it is their turn, or at the end."""
        view = self.game.view(self.state, seat)
        if not self.moves and not self.stuck:
            return self._with_rules(view)
        told = f"{_NO_MOVE if self.stuck else self.moves[-1]}{_BAR}{view}"
        return self._with_rules(told) if len(self.moves) == 1 else told

    def value(self) -> float:
        """What the game is worth to the player: 0 for the largest loss, 1 for the largest win.

        A game that has not ended is lost by who is to move.
        """
        game, state = self.game, self.state
        if game.moves(state):
            return float(game.mover(state) != self.seat)
        payoff = game.payoff(state) * (1 if self.seat == 0 else -1)
        return (1 + payoff / game.most) / 2

    def _with_rules(self, told: str) -> str:
        return f"{self.rules}\n\n{told}" if self.rules else told


def stated_move(words: str) -> str | None:
    r"""The move that a turn states: in its last \boxed{}, else as its last word."""
    found = _WORD.findall((boxed_answer(words) or words).lower())
    return found[-1] if found else None
