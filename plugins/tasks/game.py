"""Two-player zero-sum games, in which the model sits first or second."""

import random
from dataclasses import replace
from typing import Any, Literal

from rlsp_cli.rewards import task
from rlsp_cli.rewards.games import Match, Player, game_of, move_of

_TURN = (
    "You are told the other player's move, then what you see. End each of your turns with a legal "
    "move, such as \\boxed{%s}; anything else loses the game."
)


@task
def game(
    index: int,
    split: str,
    *,
    game: str = "tictactoe",
    seat: Literal["first", "second", "both"] = "both",
    opening: Player = "random",
    rules: bool = True,
) -> dict[str, Any]:
    """A game to play: `kuhn_poker`, `negotiation`, `nim` or `tictactoe`, with a demonstration as `messages`.

    With `both` the model sits first in the even rows and second in the odd ones. Where it sits
    second the first move is made here, by the player `opening`. The demonstrations are whole games
    of random legal moves. `rules` puts the rules in words at the beginning.
    """
    rules_of, rng = game_of(game), random.Random(f"{game}:{split}:{index}")
    place = index % 2 if seat == "both" else int(seat == "second")
    match = Match(rules_of, rules_of.deal(rng), place)
    if rules:
        match = replace(match, rules=_in_words(match))
    if place == 1:
        match = match.moved(move_of(opening, match, rng))

    return {
        "id": f"{split}-{index}",
        "problem": match.told(place),
        "answer": "win",
        "game": game,
        "deal": match.deal,
        "seat": place,
        "opening": list(match.moves),
        "rules": match.rules,
        "messages": _demonstration(match, rng),
    }


def _in_words(match: Match) -> str:
    return f"{match.game.rules} {_TURN % match.game.moves(match.state)[0]}"


def _demonstration(match: Match, rng: random.Random) -> list[dict[str, str]]:
    """A conversation in which both players move at random."""
    messages = [{"role": "user", "content": match.told(match.seat)}]
    while True:
        match = match.moved(move_of("random", match, rng))
        messages.append({"role": "assistant", "content": match.moves[-1]})
        if match.over:
            return messages

        match = match.moved(move_of("random", match, rng))
        if match.over:
            return messages
        messages.append({"role": "user", "content": match.told(match.seat)})
