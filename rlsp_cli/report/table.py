"""The tables of a report, as text cells."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from rlsp_cli.report.cells import NOTHING

_NUMBER = re.compile(r"([-+<~]? ?[\d.,]+%?( (\(.*\)|@\d+|points))?|\d+-\d+|-)")
_PPO_ROWS = 8
_PPO_COLUMNS = {
    "response/tokens": ("tokens", "{:.1f}"),
    "response/truncated": ("truncated", "{:.3f}"),
    "response/answered": ("answered", "{:.3f}"),
    "response/repetition": ("repetition", "{:.3f}"),
    "behaviour/backtrack": ("backtrack", "{:.2f}"),
    "behaviour/verify": ("verify", "{:.2f}"),
    "kl/response": ("KL", "{:.3f}"),
    "alpha": ("alpha", "{:.2f}"),
}


"""After those of correctness and exploration: the name and the format of a key of metrics.jsonl."""


@dataclass(frozen=True)
class Table:
    """A title, column names and rows of text; the first `keys` columns say what a row is about."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1

    @property
    def numbers(self) -> list[int]:
        """The columns of numbers, which stand on the right."""
        return [
            i
            for i in range(self.keys, len(self.columns))
            if are_numbers([row[i] for row in self.rows])
        ]

    def without_blanks(self) -> "Table":
        """The same without columns that hold nothing in any row."""
        kept = []
        for i in range(len(self.columns)):
            column = [row[i] for row in self.rows]
            if i < self.keys or set(column) != {NOTHING}:
                kept.append(i)

        def of_kept(row: Sequence[str]) -> list[str]:
            return [row[i] for i in kept]

        return Table(self.title, of_kept(self.columns), list(map(of_kept, self.rows)), self.keys)


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers: whole ones, shares, with an interval behind them, or none."""
    return any(cell != NOTHING for cell in cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def ppo_table(rows: Sequence[dict[str, Any]]) -> Table:
    """PPO over steps: means over some eight equal stretches. Rows are of metrics.jsonl."""
    columns = _ppo_columns(rows)
    size = max(1, -(-len(rows) // _PPO_ROWS))

    cells = []
    for first in range(0, len(rows), size):
        stretch = rows[first : first + size]
        means = [_mean(stretch, key, text) for key, (_, text) in columns.items()]
        cells.append([span(stretch[0]["step"], stretch[-1]["step"]), *means])
    names = ["steps", *(name for name, _ in columns.values())]
    return Table("PPO over rollout steps (training problems)", names, cells)


def span(first: int, last: int) -> str:
    """Steps by their indices, as a person counts them: from 1."""
    return f"{first + 1}" if first == last else f"{first + 1}-{last + 1}"


def _ppo_columns(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """From a key of metrics.jsonl to its column's name and format; a column for each exploration reward."""
    keys: set[str] = set()
    for row in rows:
        keys.update(row)
    exploration = sorted(key for key in keys if fnmatch(key, "exploration/*/mean"))

    columns = {"correctness/mean": ("correct", "{:.3f}")}
    for key in exploration:
        columns[key] = (key.split("/")[1], "{:.3f}")
    return columns | _PPO_COLUMNS


def _mean(stretch: Sequence[dict[str, Any]], key: str, text: str) -> str:
    values = [row[key] for row in stretch if key in row]
    return text.format(statistics.fmean(values)) if values else NOTHING
