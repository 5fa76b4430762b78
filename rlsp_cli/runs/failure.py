"""error.json of an attempt: why a process ended, written for the process that waits for it."""

import os
import sys
from pathlib import Path

from rlsp_cli.errors import RlspError, error_of
from rlsp_cli.runs.stream import read_json, write_json
from rlsp_cli.terminal import print

VARIABLE = "RLSP_ERROR_FILE"
"""The environment variable that names the file."""


def report_file() -> Path | None:
    """Where the process that started this one looks for the reason of its end.

    None for a command that was typed by hand.
    """
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def report(error: RlspError) -> int:
    """Write on stderr and into error.json why this process ends; returns its exit code."""
    print(f"rlsp: {error}", file=sys.stderr)

    # A process that this one has started may have reported before; its reason is nearer to the
    # cause, and its exit code belongs to it.
    path = report_file()
    if path is not None and not path.exists():
        write_failure(path, error)
    return reported_exit_code() or error.exit_code


def reported_exit_code() -> int:
    """The exit code in this process's error.json; 0 when nothing was reported."""
    path = report_file()
    return read_failure(path).exit_code if path is not None and path.exists() else 0


def write_failure(path: Path, error: RlspError) -> None:
    """Write an error into an error.json."""
    write_json(path, {"exit_code": error.exit_code, "message": str(error)})


def read_failure(path: Path) -> RlspError:
    """The error of an error.json."""
    data = read_json(path)
    return error_of(int(data["exit_code"]), str(data["message"]))
