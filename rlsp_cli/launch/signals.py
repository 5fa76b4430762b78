"""SIGINT, SIGTERM and SIGHUP, caught while a child or a job has to be ended first."""

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rlsp_cli.errors import StoppedError


@contextmanager
def catching_signals(pass_on: Callable[[int], None]) -> Iterator[list[int]]:
    """Collect signals and hand each to `pass_on`, instead of ending this process."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGHUP:
            _leave_terminal()
        pass_on(number)

    # `nohup rlsp ...` ignores SIGHUP, so that the run outlives its terminal; that must stay so.
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    # Blocks nest, so each puts back what it found, and not the system's default.
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopping_on_signals(message: str) -> Iterator[None]:
    """Raise StoppedError where the block is when the first signal comes."""

    def leave(number: int) -> None:
        # Later ones must not interrupt what `finally` blocks do on the way out.
        if len(received) == 1:
            raise StoppedError(message, number)

    with catching_signals(leave) as received:
        yield


def _leave_terminal() -> None:
    """Let stdout and stderr lead nowhere where they led to a terminal."""
    # A terminal that has hung up fails every write with EIO, and the run would end by that error
    # before its checkpoint is written.
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)
