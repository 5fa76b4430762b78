"""Checks of a recipe in action on the screen, for `rlsp smoke` and `rlsp check --roll`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlsp_cli.cli.output import print_table
from rlsp_cli.errors import CheckError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.preflight import Checked


def show_checks(checks: "Sequence[Checked]") -> None:
    """A table of checks; then what each failed one means, and its likely cause."""
    print_table(("check", "result", "found"), [(one.check, one.state, one.found) for one in checks])
    for one in checks:
        if one.state == "failed":
            print(f"\n{one.check}: {one.found}\n  means: {one.means}\n  likely: {one.cause}")


def refuse_failed(failed: "Sequence[Checked]") -> None:
    """CheckError with the names of failed checks."""
    if failed:
        names = ", ".join(dict.fromkeys(one.check for one in failed))
        count = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        raise CheckError(f"{count} failed: {names}")
