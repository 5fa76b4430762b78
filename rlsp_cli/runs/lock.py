"""One writer at a time: a lock on a folder that goes with the process which holds it, however that ends.

It is the system's own (`flock`), which a shared file system carries to other machines. The file
tells people who holds it; a file without a lock means nothing.
"""

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlsp_cli.errors import UsageError
from rlsp_cli.runs.clock import now
from rlsp_cli.terminal import print

LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; UsageError, naming the holder, when another process has it.

    The folder is made if need be, and removed when nothing was put into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    file = _taken(path)
    try:
        os.ftruncate(file, 0)
        os.pwrite(
            file, f"process {os.getpid()} on {socket.gethostname()}, since {now()}\n".encode(), 0
        )
        yield
    finally:
        with suppress(FileNotFoundError):  # the whole folder may be gone
            path.unlink()  # while we hold the lock: later it may be the file of another holder
        os.close(file)
        with suppress(OSError):
            folder.rmdir()


def _taken(path: Path) -> int:
    """The locked file of that name: one that its holder has just removed is another."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                holder = os.pread(file, 200, 0).decode(errors="replace").strip()
                os.close(file)
                raise _refusal(path, holder, error) from error
            print(
                f"note: {path.parent}: no locks on this file system; let only one rlsp write here",
                file=sys.stderr,
            )
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            return file
        os.close(file)


def _refusal(path: Path, holder: str, error: OSError) -> Exception:
    if not isinstance(error, BlockingIOError):
        return error
    words = f"{holder or 'another process'} is writing here"
    return UsageError(f"{path.parent}: {words}; wait until it has ended, or end it, and try again")
