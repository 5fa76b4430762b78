"""The error types of rlsp, one per answer to "whose move is it?", and their exit codes.

Anything else that reaches the command line is a bug of ours and exits with 1.
A message is one line: where, what was found, what was expected, the next move.
"""


class RlspError(Exception):
    """Base of every error that is shown as one line instead of a traceback."""

    exit_code = 1


class UsageError(RlspError, ValueError):
    """The command line asks for something that cannot be done, such as writing into a used folder."""

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
    """A backend's job failed."""

    exit_code = 5


class CheckError(RlspError):
    """A check that was asked for did not pass."""

    exit_code = 6


class SafetyError(RlspError):
    """A safety limit stopped the run, such as too many failing rewards."""

    exit_code = 7


class StoppedError(RlspError):
    """A signal stopped the run after a checkpoint."""

    exit_code = 130
