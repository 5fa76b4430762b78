"""Tables of behaviours, and the caveat that goes with them."""

from collections.abc import Sequence

from rlsp_cli.evals.behaviour import Group, Means, Stretch
from rlsp_cli.report.cells import number_cell, percent_cell
from rlsp_cli.report.step import span
from rlsp_cli.report.table import Table

CAVEAT = (
    "The counts are of words, not of thoughts. Longer responses, or more of these words, are no "
    "success by themselves: a model can write them without searching, and a reward that pays for "
    "them teaches it to. Growth that comes with more repetition, a higher compression ratio or "
    "fewer right answers is padding. Of 24 marks in the reasoning of other models 21 were right, "
    "88% (69 to 96); docs/behaviour.md has it by behaviour, and how much is missed."
)


def group_table(groups: Sequence[Group]) -> Table:
    """A row for each group's responses, and for the right and the wrong ones apart."""
    rows = []
    for group in groups:
        for verdict, means in group.means.items():
            rows.append([group.model, group.bench, group.decoding, verdict, *_cells(means)])

    columns = ["model", "bench", "decoding", "of", *_columns(groups[0].means["all"])]
    return Table("Behaviours per response (share of responses with any)", columns, rows, keys=4)


def stretch_table(stretches: Sequence[Stretch]) -> Table:
    """A row for each stretch of steps, over all of its responses."""
    rows = []
    for one in stretches:
        steps = span(one.first + 1, one.last + 1)  # files count from 0, people from 1
        rows.append([steps, "all", *_cells(one.means["all"])])

    columns = ["steps", "of", *_columns(stretches[0].means["all"])]
    return Table("Behaviours over rollout steps", columns, rows, keys=2)


def _columns(means: Means) -> list[str]:
    names = [name.replace("_", " ") for name in means.behaviour]
    return [
        "responses",
        "accuracy %",
        "tokens",
        "repetition",
        "compression",
        "answers",
        "any",
        *names,
    ]


def _cells(means: Means) -> list[str]:
    cells = [
        str(means.responses),
        percent_cell(means.accuracy),
        number_cell(means.tokens, 1),
        number_cell(means.repetition, 3),
        number_cell(means.compression, 2),
        number_cell(means.candidates, 2),
        f"{100 * means.share_any:.0f}%",
    ]
    for name, mean in means.behaviour.items():
        cells.append(f"{mean:.2f} ({100 * means.share[name]:.0f}%)")
    return cells
