"""Results on stdout: JSON in an envelope with a version, or a table."""

import json
from collections.abc import Sequence
from typing import Any

_NO_TERMINAL = 250
"""Columns to print into a file or pipe, where nothing should be folded."""


def print_json(what: str, data: Any) -> None:
    """Print `{"schema": "rlsp.<what>/1", "data": ...}`."""
    print(json.dumps({"schema": f"rlsp.{what}/1", "data": data}, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """Print a table; wide cells fold on a terminal and stay whole elsewhere."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=_NO_TERMINAL)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(table, markup=False, highlight=False)
