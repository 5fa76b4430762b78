"""The other player of a game: random, perfect, or a model."""

import random
from dataclasses import replace

from rlsp_cli.rewards import Closing, ModelName, Sample, continuation, served_model
from rlsp_cli.rewards.games import Match, Player, move_of, stated_move


@continuation
def opponent(
    sample: Sample,
    *,
    player: Player = "random",
    model: ModelName = "",
    seed: int = 0,
    turn_tokens: int = 1024,
) -> str | None:
    """The other player's move in a game of the task `game`, and what the model sees after it.

    The move is one of the `player`: any legal one, or one of perfect play, drawn by the row, the
    moves so far and `seed`. A `model` of the recipe plays instead where it is named, greedily,
    and loses if it gives no legal move within `turn_tokens`.
    """
    if not sample.response.strip():
        return None  # no move, so that the game is lost
    match = Match.of_sample(sample)
    if match.over:
        return None

    if model:
        move = _move_of(model, match, turn_tokens)
    else:
        rng = random.Random(f"{seed}:{sample.id}:{match.moves}")
        move = move_of(player, match, rng)
    after = match.moved(move)
    told = after.told(match.seat)
    return Closing(told) if after.over else told


def _move_of(model: str, match: Match, max_tokens: int) -> str | None:
    """The move that a model makes from the other seat, which has heard the game as we have."""
    other, messages = 1 - match.seat, []
    for count in range(len(match.moves) + 1):
        so_far = replace(match, moves=match.moves[:count])
        if match.game.mover(so_far.state) != other:
            continue
        messages.append({"role": "user", "content": so_far.told(other)})
        if count < len(match.moves):
            messages.append({"role": "assistant", "content": match.moves[count]})
    return stated_move(served_model(model).chat(messages, max_tokens=max_tokens))
