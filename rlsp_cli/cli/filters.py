"""The table of filters that commands for data print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlsp_cli.cli.output import print_table

if TYPE_CHECKING:
    from rlsp_cli.traces import Tally


def show_filters(tallies: "Sequence[Tally]") -> None:
    """Print what each filter got, kept and left out."""
    cells = [(one.name, one.before, one.after, one.reasons_text) for one in tallies]
    print_table(["filter", "in", "out", "rows left out, and the first of them"], cells)
