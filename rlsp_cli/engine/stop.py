"""A way to be asked to stop, at a place where nothing is lost."""

import signal
import threading
from types import FrameType

from rlsp_cli.errors import StoppedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopFlag:
    """Remembers SIGINT, SIGTERM or SIGHUP, so that a stage can end the step, save and leave."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def install(self) -> "StopFlag":
        """Listen to the signals; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number

    @property
    def is_set(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def leave_if_set(self) -> None:
        """Raise StoppedError when a signal came; the caller has saved what is to be kept."""
        if self.signal is not None:
            raise StoppedError("stopped after a checkpoint", self.signal)


def ignore_signals() -> None:
    """From now on: an interpreter that ends would take its handlers back, and die of a signal after all was done."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
