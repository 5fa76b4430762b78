"""The tables of a report, as text cells."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

_NUMBER = re.compile(r"([-+<~]? ?[\d.,]+%?( (\(.*\)|@\d+|points))?|\d+-\d+|-)")
_PPO_ROWS = 8
_PPO_COLUMNS = {
    "correctness/mean": ("correct", "{:.3f}"),
    "response/tokens": ("tokens", "{:.1f}"),
    "response/truncated": ("truncated", "{:.3f}"),
    "response/answered": ("answered", "{:.3f}"),
    "response/repetition": ("repetition", "{:.3f}"),
    "behaviour/backtrack": ("backtrack", "{:.2f}"),
    "behaviour/verify": ("verify", "{:.2f}"),
    "kl/response": ("KL", "{:.3f}"),
    "alpha": ("alpha", "{:.2f}"),
}


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
        return [i for i in range(self.keys, len(self.columns)) if are_numbers([row[i] for row in self.rows])]

    def without_blanks(self) -> "Table":
        """The same without columns that hold nothing in any row."""
        kept = [i for i in range(len(self.columns)) if i < self.keys or any(row[i] != "-" for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table(self.title, [self.columns[i] for i in kept], rows, self.keys)


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers: whole ones, shares, with an interval behind them, or none."""
    return any(cell != "-" for cell in cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def ppo_table(rows: Sequence[dict[str, Any]]) -> Table:
    """PPO over steps: means over some eight equal stretches."""
    exploration = sorted({key for row in rows for key in row if fnmatch(key, "exploration/*/mean")})
    names = {key: (key.split("/")[1], "{:.3f}") for key in exploration}
    columns = {**dict(list(_PPO_COLUMNS.items())[:1]), **names, **dict(list(_PPO_COLUMNS.items())[1:])}
    size = max(1, -(-len(rows) // _PPO_ROWS))
    stretches = [rows[i : i + size] for i in range(0, len(rows), size)]
    cells = [
        [span(part[0]["step"], part[-1]["step"]), *(_mean(part, key, text) for key, (_, text) in columns.items())]
        for part in stretches
    ]
    return Table(
        "PPO over rollout steps (training problems)", ["steps", *(name for name, _ in columns.values())], cells
    )


def span(first: int, last: int) -> str:
    """Steps by their indices, as a person counts them: from 1."""
    return f"{first + 1}" if first == last else f"{first + 1}-{last + 1}"


def _mean(part: Sequence[dict[str, Any]], key: str, text: str) -> str:
    values = [row[key] for row in part if key in row]
    return text.format(statistics.fmean(values)) if values else "-"
