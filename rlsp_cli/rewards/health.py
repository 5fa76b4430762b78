"""Whether a worker can be trusted with the next sample after what a plugin has done to it."""

import errno
import os
import resource
import signal
from collections.abc import Iterator

_LIMITS = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
_EXHAUSTED = frozenset(
    # Files of this process, files of the machine, memory, processes, a closed file, a size limit.
    (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBADF, errno.EFBIG)
)
"""Errors that are about the process, not about a sample."""
_STRIKES = 3
"""Calls in a row that end in any error of the system, after which the process is in doubt."""


class Health:
    """The state of this process, to which every call is to return it."""

    def __init__(self) -> None:
        self._folder = os.open(".", os.O_RDONLY)
        self._environment = dict(os.environ)
        # It can only be read by setting it.
        self._mask = os.umask(0)
        os.umask(self._mask)

        self._limits = {limit: resource.getrlimit(limit) for limit in _LIMITS}
        self._strikes, self._exhausted = 0, False

    def is_fit_after(self, error: Exception | None) -> bool:
        """Undo what a call has changed; False if its `error` puts the process in doubt."""
        # A plugin may have wrapped an error of the system in one of its own.
        causes = [cause for cause in _chain(error) if isinstance(cause, OSError | MemoryError)]
        self._strikes = self._strikes + 1 if causes else 0
        self._exhausted |= any(getattr(cause, "errno", None) in _EXHAUSTED for cause in causes)
        return self._restored() and not self._exhausted and self._strikes < _STRIKES

    def _restored(self) -> bool:
        """Put back folder, environment, mask, limits and alarm; False where one cannot be."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.umask(self._mask)

        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)

        # By its descriptor, since the folder may have been renamed. A hard limit that a plugin has
        # lowered cannot be raised again.
        try:
            os.fchdir(self._folder)
            for limit, was in self._limits.items():
                if resource.getrlimit(limit) != was:
                    resource.setrlimit(limit, was)
        except (OSError, ValueError):
            return False
        return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
