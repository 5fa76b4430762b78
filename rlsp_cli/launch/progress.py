"""What a person sees of a running stage: a live line on a terminal, or plain lines in a log."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rlsp_cli.launch.pace import Pace
from rlsp_cli.rewards.alarms import alarms
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import Tail
from rlsp_cli.terminal import printable

_LABELS = {
    "loss": "loss {:.3f}",
    "eval_loss": "validation loss {:.3f}",
    "correctness/mean": "correct {:.3f}",
    "exploration/mean": "explore {:.3f}",
    "response/tokens": "{:.1f} tokens",
    "kl/response": "kl {:.3f}",
    "time/tokens_per_s": "{:,.0f} tok/s",
}
_PLAIN_EVERY_S = 10.0
_ALARM_ROWS = 60
"""Rows that the live alarms look back on."""


class StageProgress:
    """The observer of a stage: shows messages, and the newest row of its metrics.jsonl."""

    def __init__(self, stage: str, paths: StagePaths, console: Console) -> None:
        self.stage, self.console = stage, console
        self.pace = Pace()
        self.shown_at = time.monotonic()

        # The stage is not started yet: what is there now, earlier attempts wrote.
        self.tail = Tail(paths.metrics)
        self.before = {row["step"]: row for row in self.tail.rows()}

        self.recent: deque[dict[str, Any]] = deque(maxlen=_ALARM_ROWS)
        self.alarmed: set[str] = set()

        self.bar = _bar(console) if console.is_terminal else None
        if self.bar is not None:
            self.task = self.bar.add_task(stage, total=None, text="starting")

    def say(self, text: str) -> None:
        """Show a message on a line of its own."""
        self.console.print(f"{self.stage}: {text}", highlight=False, soft_wrap=True)

    def tick(self) -> None:
        """Show the newest row, if there is a new one."""
        rows = [row for row in self.tail.rows() if not self._is_old(row)]
        if rows:
            self._raise_alarms(rows)
            self._tell_points(rows)
            self._show(rows[-1])

    def _show(self, row: dict[str, Any]) -> None:
        """Show a row in the live line of a terminal, or now and then on a line of its own."""
        done, total = row["step"] + 1, row.get("total_steps")
        left = self.pace.left(row.get("text", ""), done, total)

        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=total, text=printable(describe(row)))
        elif time.monotonic() - self.shown_at > _PLAIN_EVERY_S or done == total:
            # A log file keeps every line, so one for each of thousands of steps is too much.
            self.shown_at = time.monotonic()
            rest = f", {left} left" if left else ""
            line = f"{clock()} {self.stage} {done}/{total}: {describe(row)}{rest}"
            self.console.print(line, highlight=False, soft_wrap=True)

    def _tell_points(self, rows: list[dict[str, Any]]) -> None:
        """Show each point of the held-out curve on a line of its own: it is rare."""
        for row in rows:
            if "heldout/correctness" in row:
                self.say(
                    f"held-out problems after step {row['step'] + 1}: "
                    f"correct {row['heldout/correctness']:.3f}, {row['heldout/tokens']:.1f} tokens"
                )

    def _is_old(self, row: dict[str, Any]) -> bool:
        """Whether an earlier attempt wrote a row."""
        # A resumed stage writes the file anew, with the rows that it keeps. A row with times is as
        # good as unique; one without may have been measured again, with the same numbers.
        return self.before.get(row["step"]) == row and any(key.startswith("time/") for key in row)

    def _raise_alarms(self, rows: list[dict[str, Any]]) -> None:
        """Show each kind of alarm once: the next row would show most of them again."""
        self.recent.extend(rows)

        for alarm in alarms(list(self.recent)):
            if alarm.kind not in self.alarmed:
                self.alarmed.add(alarm.kind)
                self.say(alarm.text)


def clock() -> str:
    """The time, as a log has it."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def describe(row: dict[str, Any]) -> str:
    """The numbers of a metrics row that a person watches."""
    parts = [text.format(row[key]) for key, text in _LABELS.items() if key in row]

    # exploration/NAME/mean of each exploration reward goes behind correctness, which comes first.
    for key, value in row.items():
        if key.startswith("exploration/") and key.endswith("/mean") and key != "exploration/mean":
            parts.insert(1, f"{key.split('/')[1]} {value:.3f}")

    return ", ".join([row["text"], *parts] if "text" in row else parts)


@contextmanager
def showing_progress(stage: str, paths: StagePaths, console: Console) -> Iterator[StageProgress]:
    """The observer of a stage; its live line is on the screen while the block runs."""
    progress = StageProgress(stage, paths, console)

    if progress.bar is None:
        yield progress
    else:
        with progress.bar:
            yield progress


def _bar(console: Console) -> Progress:
    """A live line: name, bar, steps, time so far, time left, and the newest numbers."""
    # Names of benches and rewards come from recipes: a bracket in them is no markup of Rich.
    name = TextColumn("{task.description}", markup=False)
    numbers = TextColumn("{task.fields[text]}", markup=False)
    steps = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(name, *steps, numbers, console=console)
