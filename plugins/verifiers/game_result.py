"""How a game ended for the model."""

from rlsp_cli.rewards import CheckedVerdict, Sample, verifier
from rlsp_cli.rewards.games import Match

_CUT = ("turns", "overflow", "flood")


@verifier
def game_result(sample: Sample) -> CheckedVerdict | None:
    """1 for a win, 0.5 for a draw and 0 for a loss, in a game of the task `game`.

    In Kuhn poker the chips count: 1 for a win of two, 0.75 for one, 0.25 and 0 for losses. A turn
    without a legal move loses all. Evaluations show the shares of games that were `won`, `drawn`
    and in which all moves were `legal`. A game that a limit of the continuation has cut short
    abstains.
    """
    if sample.turns is None or sample.turns.outcome in _CUT:
        return None

    match = Match.of_sample(sample)
    value, unfinished = match.value(), bool(match.game.moves(match.state))
    checks = {"won": value > 0.5, "drawn": value == 0.5, "legal": not (unfinished and value == 0)}
    return CheckedVerdict(value, None, {rule: [passed] for rule, passed in checks.items()})
