"""A command that ends when its parent does: `python die_with_parent.py PID ARGV...` becomes ARGV.

It ends even when SIGKILL takes the parent, which then has no chance to clean up. Ray's processes
end with `ray start --block` in the same way, and so the whole node does.
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
"""The option of prctl(2) that sets a signal for the death of the parent."""
_GRACE_S = 20.0


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` and is killed when this process ends, however it ends."""
    # -I: the user's PYTHONPATH is meant for `argv`, and must not change what this file imports.
    return [sys.executable, "-I", __file__, str(os.getpid()), *argv]


def spawn(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Start a command that ends with this process, in a session of its own; it appends to `log`."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            dying_with_parent(argv),
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            env=environment,
            # Ctrl-C reaches every process of the terminal's group: ours alone shall get it, and ask
            # the child to stop. A session is also a process group, which `end` kills as a whole.
            start_new_session=True,
        )


def end(child: "subprocess.Popen[bytes]") -> None:
    """Ask a child of `spawn` to end, and kill what is left of its session."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)

    # Its own children may outlive it, and keep its ports and its GPU memory.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main(parent: int, argv: list[str]) -> None:
    """Become `argv`, to be killed when process `parent` ends; only Linux can do that."""
    if sys.platform == "linux":
        # The kernel keeps this setting across execve(2), but not across fork(2): `argv` has it, and
        # the processes that `argv` starts do not.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        # Asked after prctl: a parent that died before it sends no signal any more.
        if os.getppid() != parent:
            sys.exit(f"process {parent} has ended already")

    os.execvp(argv[0], argv)  # noqa: S606 (a list, never a shell)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
