"""A child process with all that it starts itself: none of it outlives the block, nor us."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlsp_cli.child.die_with_parent import end, spawn
from rlsp_cli.child.guard import guarded, remove_with_users

_LONGEST_HOME = 24
"""Longest name of the temporary folder, in characters.

The kernel takes a socket's path of 107 characters at most, and the child adds the rest.
"""


def short_folder() -> str:
    """A new temporary folder in which a child can have sockets."""
    home = tempfile.gettempdir()
    if len(home) > _LONGEST_HOME:
        home = "/tmp"  # noqa: S108 (the folder in it is ours alone)
    return tempfile.mkdtemp(prefix="rlsp-", dir=home)


@contextmanager
def session(
    argv: Sequence[str], environment: Mapping[str, str], log: Path, folder: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command that works in `folder` and appends to `log`.

    It ends with the block, or with us, and the folder is removed.
    """
    child = spawn(argv, environment, log)
    try:
        # The child dies with us, but its own children do not: the guard is for those.
        with guarded("end", str(child.pid), folder):
            yield child
    finally:
        end(child)
        remove_with_users(folder)
