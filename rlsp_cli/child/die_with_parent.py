"""A command that ends when its parent does, even by SIGKILL: `python die_with_parent.py PID ARGV...` becomes ARGV.

Ray's own processes end with `ray start --block` in the same way, and so the whole node does.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_GRACE_S = 20.0


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """The command, to be killed when this process ends, however it does."""
    return [sys.executable, "-I", __file__, str(os.getpid()), *argv]


def spawn(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Start a command that ends with this process, in a session of its own; what it prints is appended to `log`."""
    words = dying_with_parent(argv)
    with log.open("ab") as stream:
        return subprocess.Popen(
            words,
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )


def end(child: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, and kill what is left of its session."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main(parent: int, argv: list[str]) -> None:
    """Become `argv`, to be killed with the parent; only Linux can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(f"process {parent} has ended already")
    os.execvp(argv[0], argv)  # noqa: S606 (a list, never a shell)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
