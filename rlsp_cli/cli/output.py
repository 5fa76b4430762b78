"""Results on stdout: JSON in an envelope with a version, or a table."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rlsp_cli.terminal import print, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LONGEST_CELL = 2000
"""Characters of a table's cell; `--json` has all of them."""
_NO_TERMINAL = 10_000
"""Columns to print into a file or pipe, where nothing should be folded."""
_GAP = 2
"""Blanks between columns."""
_FOLDED = 32
"""A column of longer text may be folded, but not to less than this."""


def print_json(what: str, data: Any) -> None:
    """Print `{"schema": "rlsp.<what>/1", "data": ...}`."""
    # JSON's own escapes where stdout's encoding lacks a character: what is printed stays readable.
    has_all = "utf" in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    document = {"schema": f"rlsp.{what}/1", "data": data}
    print(json.dumps(document, indent=2, ensure_ascii=not has_all))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str | None = None,
    keys: int = 1,
) -> None:
    """Print a table, with numbers on the right.

    Columns for which the terminal is too narrow follow below, behind the first `keys` columns
    again; a pipe gets every row whole.
    """
    from rich.table import Table

    from rlsp_cli.report.table import are_numbers

    # A pipe has no width, and a program that reads it wants one line for each row.
    screen = console()
    if not screen.is_terminal:
        screen = console(width=_NO_TERMINAL)
    if title:
        screen.print(title, style="italic", soft_wrap=True)

    cells = [list(map(_cell, row)) for row in rows]
    # Key columns name things, and stay on the left even if they are numbers.
    numbers = set()
    for i in range(keys, len(columns)):
        if are_numbers([row[i] for row in cells]):
            numbers.add(i)

    for number, picked in enumerate(_blocks(_widths(columns, cells), keys, screen.width)):
        if number:
            screen.print()

        table = Table(box=None, pad_edge=False, show_header=any(columns))
        for i in picked:
            justify = "right" if i in numbers else "left"
            table.add_column(columns[i], overflow="fold", justify=justify)  # type: ignore[arg-type]
        for row in cells:
            table.add_row(*(row[i] for i in picked))
        screen.print(table)


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value), _LONGEST_CELL)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """The least width of each column: its longest line, or `_FOLDED` for longer text."""
    widths = []
    for i, name in enumerate(columns):
        lines = [name]
        for row in cells:
            lines += row[i].split("\n")
        widths.append(min(max(map(len, lines)), _FOLDED))
    return widths


def _blocks(widths: Sequence[int], keys: int, width: int) -> Iterator[list[int]]:
    """The columns of each part of a table; every part begins with the key columns."""
    first = list(range(min(keys, len(widths))))
    begun = sum(widths[i] + _GAP for i in first) - _GAP

    block, used = list(first), begun
    for i in range(len(first), len(widths)):
        # A column that is too wide even alone gets a part of its own.
        if used + _GAP + widths[i] > width and len(block) > len(first):
            yield block
            block, used = list(first), begun

        block.append(i)
        used += _GAP + widths[i]
    yield block


def console(**options: Any) -> "Console":
    """A Rich console that prints text as it is: without markup, and with controls spelled out."""
    from rich.console import Console

    class Plain(Console):
        def render_str(self, text: str, **how: Any) -> "Text":
            return super().render_str(printable(text), **how)

    return Plain(markup=False, highlight=False, emoji=False, **options)
