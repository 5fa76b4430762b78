"""One start of a stage: a folder for what it prints, and why it failed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.child.cause import last_lines, last_words, likely_cause
from rlsp_cli.errors import JobError, RlspError, StoppedError
from rlsp_cli.launch.observer import NoteReader, Observer
from rlsp_cli.runs.failure import VARIABLE, read_failure
from rlsp_cli.runs.paths import StagePaths

_STDOUT, _STDERR = "stdout.log", "stderr.log"
_LOG_BYTES = 1 << 16
"""The end of a log in which a cause is looked for."""


@dataclass(frozen=True)
class Attempt:
    """The folder of one start, the variables that its commands get beside ours, and who follows it."""

    folder: Path
    variables: Mapping[str, str]
    observer: Observer

    @property
    def stdout(self) -> Path:
        """What its commands print."""
        return self.folder / _STDOUT

    @property
    def stderr(self) -> Path:
        """What its commands print on stderr."""
        return self.folder / _STDERR

    @property
    def error(self) -> Path:
        """Where a command reports why it ends."""
        return self.folder / "error.json"

    @property
    def environment(self) -> dict[str, str]:
        """All variables of its commands."""
        return {**os.environ, "DO_NOT_TRACK": "1", **self.variables, VARIABLE: str(self.error)}

    def failure(self, code: int, signals: Sequence[int]) -> RlspError:
        """The error of a command that ended with `code`, after `signals` had come.

        That is the signal, else what the command has reported, else its last line with a likely
        cause. In the last case the observer is shown the end of the log.
        """
        if signals:
            was_killed = len(signals) > 1 and not self.error.exists()
            return StoppedError("killed" if was_killed else "stopped", signals[0])
        if self.error.exists():
            return read_failure(self.error)

        errors = _end_of(self.stderr)
        for line in last_lines(errors):
            self.observer.say(f"| {line}")

        log = _end_of(self.stdout) + errors
        cause = likely_cause(log, code)
        reason = f"{cause}: {last_words(log)}" if cause else last_words(log)
        return JobError(f"the process ended with code {code}: {reason} (more in {self.stderr})")


def new_attempt(paths: StagePaths, variables: Mapping[str, str], observer: Observer) -> Attempt:
    """The next attempt of a stage, in a new folder; the observer is shown the notes of its commands."""
    numbers = [
        int(folder.name) for folder in (paths.root / "attempts").glob("*") if folder.name.isdigit()
    ]
    folder = paths.attempt(max(numbers, default=0) + 1)
    folder.mkdir(parents=True)

    return Attempt(folder, variables, NoteReader(observer, folder / _STDERR))


def _end_of(log: Path) -> str:
    if not log.exists():
        return ""

    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - _LOG_BYTES, 0))
        return stream.read().decode("utf-8", errors="replace")
