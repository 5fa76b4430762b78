"""A child process with all that it starts itself: none of it outlives the block that needs it, nor us."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlsp_cli.child.die_with_parent import end, spawn
from rlsp_cli.child.guard import guarded, remove_with_users

_LONGEST_HOME = 24
"""Longest name of the temporary folder, in characters: a socket's path has 107 at most, and the child uses the rest."""


def short_folder() -> str:
    """A new temporary folder in which a child can have sockets."""
    home = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="rlsp-", dir=home if len(home) <= _LONGEST_HOME else "/tmp")  # noqa: S108


@contextmanager
def session(
    argv: Sequence[str], environment: Mapping[str, str], log: Path, folder: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command that works in `folder`, its output appended to `log`; both end with the block, or with us."""
    child = spawn(argv, environment, log)
    try:
        with guarded("end", str(child.pid), folder):
            yield child
    finally:
        end(child)
        remove_with_users(folder)
