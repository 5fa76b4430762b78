"""The error types of rlsp, one per answer to "whose move is it?", and their exit codes.

Anything else that reaches the command line is a bug of ours and exits with 1.
A message is one line: where, what was found, what was expected, the next move.
"""

import signal

SIGNAL_EXIT = 128
"""A process that a signal ended has this exit code plus the signal's number, as in shells."""


class RlspError(Exception):
    """Base of every error that is shown as one line instead of a traceback."""

    exit_code = 1


class UsageError(RlspError, ValueError):
    """The command line asks for what cannot be done, such as writing into a used folder."""

    exit_code = 2


class RecipeError(RlspError, ValueError):
    """The recipe is wrong; `str()` gives every problem, one a line."""

    exit_code = 3


class PluginError(RlspError):
    """A plugin cannot be found, loaded or registered."""

    exit_code = 3


class DataError(RlspError, ValueError):
    """A data set or one of its rows is not what the recipe says."""

    exit_code = 3


class NotReadyError(RlspError):
    """The environment lacks something: a package, a file, a GPU, the hub, disk space."""

    exit_code = 4


class JobError(RlspError):
    """A backend's job failed, perhaps with an exit code of its own."""

    exit_code = 5

    def __init__(self, message: str, *, exit_code: int = exit_code) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CheckError(RlspError):
    """A check that was asked for did not pass."""

    exit_code = 6


class SafetyError(RlspError):
    """A safety limit stopped the run, such as too many failing rewards."""

    exit_code = 7


class StoppedError(RlspError):
    """A signal stopped the run after a checkpoint."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = signal_number
        self.exit_code = SIGNAL_EXIT + signal_number


class StageError(RlspError):
    """A stage ended early: which one, why, and what to do next. Has its cause's exit code."""

    def __init__(self, stage: str, cause: RlspError, next_move: str | None = None) -> None:
        super().__init__(f"{stage}: {cause}; {next_move}" if next_move else f"{stage}: {cause}")
        self.exit_code = cause.exit_code


# Without PluginError and DataError, whose exit code is RecipeError's too.
_TYPES = (UsageError, RecipeError, NotReadyError, JobError, CheckError, SafetyError)
_BY_EXIT_CODE = {error.exit_code: error for error in _TYPES}


def error_of(exit_code: int, message: str) -> RlspError:
    """The error that a child process of rlsp reported by exit code and message."""
    if exit_code > SIGNAL_EXIT:
        return StoppedError(message, exit_code - SIGNAL_EXIT)

    known = _BY_EXIT_CODE.get(exit_code)
    return known(message) if known else JobError(message, exit_code=exit_code)
