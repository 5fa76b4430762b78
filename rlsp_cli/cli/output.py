"""Results on stdout: JSON in an envelope with a version, or a table."""

import json
from collections.abc import Sequence
from typing import Any


def print_json(what: str, data: Any) -> None:
    """Print `{"schema": "rlsp.<what>/1", "data": ...}`."""
    print(json.dumps({"schema": f"rlsp.{what}/1", "data": data}, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """Print a table; wide cells fold on a terminal and stay whole elsewhere."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(table, markup=False) if console.is_terminal else _wide(table)


def _wide(table: Any) -> None:
    from rich.console import Console

    Console(width=200).print(table)
