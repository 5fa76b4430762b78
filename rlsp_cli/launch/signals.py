"""SIGINT, SIGTERM and SIGHUP, while something else has to be ended first."""

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rlsp_cli.errors import StoppedError


@contextmanager
def catching_signals(pass_on: Callable[[int], None]) -> Iterator[list[int]]:
    """Collect the signals instead of dying of them; a SIGHUP that `nohup` has turned off stays off."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGHUP:
            _leave_terminal()
        pass_on(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopping_on_signals(message: str) -> Iterator[None]:
    """The first signal is a StoppedError where we are; later ones don't disturb the tidying up."""

    def leave(number: int) -> None:
        if len(received) == 1:
            raise StoppedError(message, number)

    with catching_signals(leave) as received:
        yield


def _leave_terminal() -> None:
    """A terminal that has hung up refuses what is written to it."""
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)
