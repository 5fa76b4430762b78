"""The tables of a report, as text cells."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from rlsp_cli.report.cells import NOTHING
from rlsp_cli.report.step import Step, keys_of, span

_NUMBER = re.compile(r"([-+<>~]? ?[\d.,]+%?( (\(.*\)|@\d+|points))?|\d+-\d+|-)")
"""A number as a cell has it: a share, one with an interval behind it, a range, or none."""
_PPO_ROWS = 8
"""Rows of the table of PPO, at most."""
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
"""Key of a step -> its column's name and format; correctness and exploration come before."""


@dataclass(frozen=True)
class Table:
    """A title, column names and rows of text; the first `keys` columns say what a row is about."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1

    @property
    def numbers(self) -> list[int]:
        """The columns of numbers, which are aligned to the right."""
        found = []
        for i in range(self.keys, len(self.columns)):
            if are_numbers([row[i] for row in self.rows]):
                found.append(i)
        return found

    def without_blanks(self) -> "Table":
        """The same without columns that hold nothing in any row."""
        # Key columns stay: they say what a row is about, even where nothing is known.
        kept = []
        for i in range(len(self.columns)):
            column = [row[i] for row in self.rows]
            if i < self.keys or set(column) != {NOTHING}:
                kept.append(i)

        def of_kept(row: Sequence[str]) -> list[str]:
            return [row[i] for i in kept]

        return Table(self.title, of_kept(self.columns), list(map(of_kept, self.rows)), self.keys)

    def to_markdown(self) -> str:
        """The table as GitHub's Markdown has it, without its title."""
        rules = ["--:" if i in self.numbers else "---" for i in range(len(self.columns))]
        lines = [list(self.columns), rules, *self.rows]
        return "".join(f"| {' | '.join(map(_markdown, line))} |\n" for line in lines)


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers, perhaps with intervals, and no other text."""
    return any(cell != NOTHING for cell in cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _markdown(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def ppo_table(steps: Sequence[Step]) -> Table:
    """PPO over steps: means over at most eight stretches of equal length."""
    # A run of hundreds of steps should fit on a screen.
    columns = _ppo_columns(steps)
    size = max(1, math.ceil(len(steps) / _PPO_ROWS))

    rows = []
    for first in range(0, len(steps), size):
        stretch = steps[first : first + size]
        means = [_mean(stretch, key, text) for key, (_, text) in columns.items()]
        rows.append([span(stretch[0].number, stretch[-1].number), *means])

    names = ["steps", *(name for name, _ in columns.values())]
    return Table("PPO over rollout steps (training problems)", names, rows)


def _ppo_columns(steps: Sequence[Step]) -> Mapping[str, tuple[str, str]]:
    """As `_PPO_COLUMNS`, with correctness and each exploration reward in front."""
    columns = {"correctness/mean": ("correct", "{:.3f}")}
    for key in sorted(keys_of(steps)):
        if fnmatch(key, "exploration/*/mean"):
            columns[key] = (key.split("/")[1], "{:.3f}")
    return columns | _PPO_COLUMNS


def _mean(stretch: Sequence[Step], key: str, text: str) -> str:
    values = [step.values[key] for step in stretch if key in step.values]
    return text.format(statistics.fmean(values)) if values else NOTHING
