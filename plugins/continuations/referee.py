"""Leads a game in which the model plays both seats."""

from rlsp_cli.rewards import Closing, Sample, continuation
from rlsp_cli.rewards.games import Match


@continuation
def referee(sample: Sample) -> str | None:
    """What the other player is told after the model's move, for `ppo.self_play`.

    The game is one of the task `game`, without an opening. It ends by its rules, or with a turn
    that has no legal move.
    """
    if not sample.metadata:
        return None  # a trial without a row
    if sample.metadata["opening"]:
        raise ValueError("the row has an opening; take rows of the task game with seat: first")

    match = Match.of_sample(sample)
    told = match.told(1 - match.seat)
    return Closing(told) if match.over else told
