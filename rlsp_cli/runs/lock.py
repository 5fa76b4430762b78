"""One writer at a time: a lock on a folder.

It is the kernel's (`flock`), so it goes with the process that holds it, however that ends, and a
shared file system carries it to other machines. The text of the lock file only tells people who
holds it; a file without a lock means nothing.
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
"""How a file system without locks answers."""
_NAME_BYTES = 200
"""The most that is read of a holder's name."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; UsageError, naming the holder, when another process has it.

    The folder is made if need be, and removed when nothing was put into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    file = _lock(path)
    try:
        holder = f"process {os.getpid()} on {socket.gethostname()}, since {now()}\n"
        os.ftruncate(file, 0)
        os.pwrite(file, holder.encode(), 0)
        yield
    finally:
        # While we hold the lock: later the file of that name may be another holder's.
        with suppress(FileNotFoundError):  # the whole folder may be gone
            path.unlink()
        os.close(file)

        # Only an empty folder can be removed, such as that of a run that was refused.
        with suppress(OSError):
            folder.rmdir()


def _lock(path: Path) -> int:
    """The descriptor of the lock file, locked; it is made if need be."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                holder = os.pread(file, _NAME_BYTES, 0).decode(errors="replace").strip()
                os.close(file)
                raise _refusal(path, holder, error) from error

            print(
                f"note: {path.parent}: no locks on this file system; let only one rlsp write here",
                file=sys.stderr,
            )

        # Its holder may have removed the file after we opened it. A lock on a file that has no name
        # any more protects nothing.
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            return file
        os.close(file)


def _refusal(path: Path, holder: str, error: OSError) -> Exception:
    # Other errors, of a disk for example, say nothing about another process.
    if not isinstance(error, BlockingIOError):
        return error

    return UsageError(
        f"{path.parent}: {holder or 'another process'} is writing here; "
        "wait until it has ended, or end it, and try again"
    )
