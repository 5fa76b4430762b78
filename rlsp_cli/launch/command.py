"""One command of a job on this machine, supervised until it ends."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from rlsp_cli.child.die_with_parent import dying_with_parent
from rlsp_cli.launch.attempt import Attempt
from rlsp_cli.launch.observer import Observer
from rlsp_cli.launch.signals import catching_signals

_POLL_S = 0.2


def run_command(argv: Sequence[str], attempt: Attempt, stop_file: Path | None = None) -> list[int]:
    """Run a command in a session of its own; it appends to the attempt's logs.

    It ends with this process, also by SIGKILL: a command that went on alone would write beside a
    resumed run. A first signal asks it to save and leave, by `stop_file` where it has one; a second
    one kills it. Returns the signals that came when it ended well anyway; else raises the attempt's
    failure.
    """
    with attempt.stdout.open("ab") as out, attempt.stderr.open("ab") as err:
        child = subprocess.Popen(
            dying_with_parent(argv),
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=attempt.environment,
            # Otherwise Ctrl-C would reach it directly, and end it before it can save.
            start_new_session=True,
        )
        signals = _supervise(child, attempt.observer, stop_file)

    if child.returncode:
        raise attempt.failure(child.returncode, signals)
    return signals


def _supervise(
    child: "subprocess.Popen[bytes]", observer: Observer, stop_file: Path | None
) -> list[int]:
    """Wait for the child and pass signals on; returns the signals that came."""

    def pass_on(_: int) -> None:
        if len(signals) > 1:
            os.killpg(child.pid, signal.SIGKILL)
            return

        # On a signal torchrun ends its workers at once; a file they find after the current step.
        if stop_file is not None:
            stop_file.touch()
        else:
            os.kill(child.pid, signal.SIGTERM)
        observer.say("stopping after this step, with a checkpoint; again to kill")

    with catching_signals(pass_on) as signals:
        try:
            while child.poll() is None:
                observer.tick()
                time.sleep(_POLL_S)

            # What the command wrote between the last look and its end.
            observer.tick()
        finally:
            # An observer may fail; the command must not go on without us.
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    return signals
