"""The rounds of a run: what each sampled and kept, and how it does on held-out problems."""

from collections.abc import Iterator

from rlsp_cli.report.cells import NOTHING, number_cell, percent_cell, points_cell
from rlsp_cli.report.table import Table
from rlsp_cli.runs.rounds import RoundNumbers, RoundResult, RoundsResult

_SAMPLED = [
    "temperature",
    "samples",
    "threshold",
    "right %",
    "solved %",
    "different",
    "balance",
    "with hint",
    "taught",
    "new",
    "traces",
    "tokens sampled",
]


def rounds_table(rounds: RoundsResult | None) -> Table:
    """One row per round; without rounds it has no rows."""
    columns = ["round", *_SAMPLED, "against", "points on heldout (95%)", "verdict"]
    rows = [_row(one) for one in rounds.rounds] if rounds else []
    return Table("Rounds", columns, rows)


def round_notes(rounds: RoundsResult | None) -> Iterator[str]:
    """A line for each round that is worse than the one that was chosen before it."""
    for one in rounds.rounds if rounds else ():
        if one.verdict == "worse":
            yield f"{one.name} is worse than {one.against} on heldout: {_points(one)} points"


def chosen_round(rounds: RoundsResult) -> str:
    """Which round is chosen, and why, in a sentence."""
    found = next(one for one in rounds.rounds if one.name == rounds.chosen)
    if found.moved is None:
        others = len(rounds.rounds) - 1
        reason = "none of the later rounds is better" if others else "there is no other yet"
        return f"{found.name} is chosen: {reason} on heldout"
    return f"{found.name} is chosen: {_points(found)} points on heldout against {found.against}"


def _row(one: RoundResult) -> list[str]:
    sampled = _sampled(one.numbers) if one.numbers else [NOTHING] * len(_SAMPLED)
    if one.moved is None:
        return [one.name, *sampled, NOTHING, NOTHING, NOTHING]
    return [one.name, *sampled, str(one.against), _points(one), str(one.verdict)]


def _sampled(found: RoundNumbers) -> list[str]:
    return [
        number_cell(found.temperature, 2),
        str(found.samples),
        number_cell(found.threshold, 2),
        percent_cell(found.right / found.responses),
        percent_cell(found.solved / found.problems),
        number_cell(found.distinct, 2),
        number_cell(found.balance, 3),
        str(found.rationalized),
        str(found.taught),
        str(found.new),
        str(found.traces),
        str(found.tokens),
    ]


def _points(one: RoundResult) -> str:
    assert one.moved, "called for rounds beside another"
    return points_cell(*(float(one.moved[key]) for key in ("difference", "low", "high")))
