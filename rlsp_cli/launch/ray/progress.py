"""Whether a job gets on: its log grows by words of its own, or files of its stage do."""

import re
import time
from contextlib import suppress
from pathlib import Path

_RAYS_OWN = re.compile(r"\((autoscaler|raylet|scheduler|gcs_server)\b")
"""Lines that Ray prints into the log of a job, again and again while it waits for something."""


class Progress:
    """The newest sign of life of a job."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at = folder, time.monotonic()
        self.seen = self._files()

    def look(self, new_log: str) -> bool:
        """Whether something has happened since the last look."""
        files = self._files()
        alive = files != self.seen or any(line.strip() and not _RAYS_OWN.search(line) for line in new_log.splitlines())
        self.seen = files
        if alive:
            self.at = time.monotonic()
        return alive

    @property
    def quiet_s(self) -> float:
        """Seconds without a sign."""
        return time.monotonic() - self.at

    def _files(self) -> tuple[int, float]:
        """(bytes, newest change) of the stage's files; what rlsp itself writes about attempts does not count."""
        size, newest = 0, 0.0
        for path in self.folder.rglob("*"):
            if "attempts" not in path.relative_to(self.folder).parts:
                with suppress(FileNotFoundError):  # a checkpoint may be renamed meanwhile
                    stat = path.stat()
                    size, newest = size + stat.st_size, max(newest, stat.st_mtime)
        return size, newest
