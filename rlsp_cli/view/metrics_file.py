"""The metrics of a stage that may still train, with the alarms in them."""

from pathlib import Path
from threading import Lock
from typing import Any

from rlsp_cli.rewards.alarms import Alarm, alarms
from rlsp_cli.runs.shapes import MetricsRow
from rlsp_cli.runs.stream import Tail


class MetricsFile:
    """The rows of a metrics.jsonl, which are held in memory. Damaged lines are counted alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.alarms: list[Alarm] = []
        self.damaged = 0
        self._tail, self._lock = Tail(path), Lock()

    @property
    def times_anew(self) -> int:
        """How often the file was found to be another one, which has other rows."""
        return self._tail.times_anew

    def update(self) -> None:
        """Read what has been appended."""
        with self._lock:
            before = self.times_anew
            lines = self._tail.lines()
            if self.times_anew != before:
                self.rows, self.damaged = [], 0

            new = [row for row in map(_row, lines) if row is not None]
            self.damaged += len(lines) - len(new)
            self.rows = self.rows + new
            if new:
                self.alarms = alarms(self.rows)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        return MetricsRow.model_validate_json(line).model_dump(exclude_unset=True)
    except ValueError:
        return None
