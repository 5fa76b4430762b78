"""Whether a process that ran a plugin can be trusted with the next sample, and its surroundings put back for that."""

import errno
import os
import resource
import signal
from collections.abc import Iterator

_LIMITS = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
_EXHAUSTED = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBADF, errno.EFBIG)
)
"""Errors that tell of the process in which they are raised, and not of a sample."""
_STRIKES = 3
"""Calls in a row that end in an error of the system, whichever it is, after which the process is in doubt."""


class Health:
    """This process as it is now, and how its calls end from now on."""

    def __init__(self) -> None:
        self._folder = os.open(".", os.O_RDONLY)
        self._environment = dict(os.environ)
        self._mask = os.umask(0)
        os.umask(self._mask)
        self._limits = {limit: resource.getrlimit(limit) for limit in _LIMITS}
        self._strikes, self._exhausted = 0, False

    def is_fit_after(self, error: Exception | None) -> bool:
        """Put back what a call that ended with `error` has changed; False when this is not the process it was."""
        causes = [cause for cause in _chain(error) if isinstance(cause, OSError | MemoryError)]
        self._strikes = self._strikes + 1 if causes else 0
        self._exhausted |= any(getattr(cause, "errno", None) in _EXHAUSTED for cause in causes)
        return self._restored() and not self._exhausted and self._strikes < _STRIKES

    def _restored(self) -> bool:
        """Working directory, environment, mask, limits and alarm; whether all could be put back."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.umask(self._mask)

        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)

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
