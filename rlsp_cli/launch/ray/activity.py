"""Whether a job is active: its log grows by lines of its own, or the files of its stage change."""

import re
import time
from contextlib import suppress
from pathlib import Path

_LINE_OF_RAY = re.compile(r"\((autoscaler|raylet|scheduler|gcs_server)\b")
"""A line that Ray itself prints into a job's log, again and again while it waits for something."""


class Activity:
    """When a job, whose stage has this folder, was last seen active."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at = folder, time.monotonic()
        self.seen = self._files()

    def has_grown(self, new_log: str) -> bool:
        """Whether the files, or the log by `new_log`, have grown since the last call."""
        files, lines = self._files(), [line for line in new_log.splitlines() if line.strip()]

        # A job that waits for a GPU that never comes still has a log that grows: Ray says so.
        is_active = files != self.seen or not all(_LINE_OF_RAY.search(line) for line in lines)

        self.seen = files
        if is_active:
            self.at = time.monotonic()
        return is_active

    @property
    def quiet_s(self) -> float:
        """Seconds since the job was last seen active."""
        return time.monotonic() - self.at

    def _files(self) -> tuple[int, float]:
        """(bytes, time of the newest change) of the stage's files."""
        size, newest = 0, 0.0
        for path in self.folder.rglob("*"):
            # rlsp itself writes there, by following the job.
            if "attempts" in path.relative_to(self.folder).parts:
                continue

            with suppress(FileNotFoundError):  # a checkpoint may be renamed meanwhile
                stat = path.stat()
                size, newest = size + stat.st_size, max(newest, stat.st_mtime)

        return size, newest
