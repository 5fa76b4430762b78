"""One start of a stage: a folder for what it prints, and why it failed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.child.cause import last_error, last_lines, likely_cause
from rlsp_cli.errors import JobError, RlspError, StoppedError
from rlsp_cli.launch.observer import NoteReader, Observer
from rlsp_cli.runs.failure import VARIABLE, read_failure
from rlsp_cli.runs.paths import StagePaths

_STDOUT, _STDERR = "stdout.log", "stderr.log"
_LOG_BYTES = 1 << 16
"""How much of a log's end is searched for a cause."""


@dataclass(frozen=True)
class Attempt:
    """One start: its folder, the variables that its commands get beside ours, and its observer."""

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
        # Ours come last: a recipe must not redirect the file in which a command reports its error.
        return {**os.environ, "DO_NOT_TRACK": "1", **self.variables, VARIABLE: str(self.error)}

    def failure(self, code: int, signals: Sequence[int]) -> RlspError:
        """The error of a command that ended with `code`, after `signals` had come.

        That is the signal, else what the command has reported, else its last error with a likely
        cause. In the last case the observer is shown the end of the log.
        """
        # A command that we asked to stop may end with any code and any complaint.
        if signals:
            was_killed = len(signals) > 1 and not self.error.exists()
            return StoppedError("killed" if was_killed else "stopped", signals[0])

        if self.error.exists():
            return read_failure(self.error)

        errors = _end_of(self.stderr)
        for line in last_lines(errors):
            self.observer.say(f"| {line}")

        # stderr comes second, because the last error of the two is the one that is shown.
        log = _end_of(self.stdout) + errors
        cause = likely_cause(log, code)
        reason = f"{cause}: {last_error(log)}" if cause else last_error(log)
        return JobError(f"the process ended with code {code}: {reason} (more in {self.stderr})")


def new_attempt(paths: StagePaths, variables: Mapping[str, str], observer: Observer) -> Attempt:
    """The next attempt of a stage, in a new folder; its observer also shows the commands' notes."""
    earlier = [0]
    for folder in (paths.root / "attempts").glob("*"):
        if folder.name.isdigit():
            earlier.append(int(folder.name))

    # Not the number of folders: one may have been removed, and a log must not go on in another's.
    folder = paths.attempt(max(earlier) + 1)
    folder.mkdir(parents=True)

    return Attempt(folder, variables, NoteReader(observer, folder / _STDERR))


def _end_of(log: Path) -> str:
    if not log.exists():
        return ""

    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - _LOG_BYTES, 0))
        # The cut may go through the middle of a character.
        return stream.read().decode("utf-8", errors="replace")
