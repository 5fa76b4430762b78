"""The first process of a sandbox: it has the program tested, and says how each test ended.

It runs neither the program nor a test itself. Each test has two new processes: one loads the
program, which gets no sight of the test; the other runs the test, and calls the program through a
socket. For a pair of input and output there is only the first, and its output is compared here.
"""

import json
import os
import signal
import socket
import sys
from select import select
from time import clock_gettime, monotonic
from typing import Any

from .confine import die_with_parent, drop_privileges, read_only
from .launcher import Launcher, Program, read_program
from .peer import Peer, UnsendableError

_MOST_OUTPUT = 1 << 20
_CPUCLOCK_SCHED = 2
_PASSED, _FAILED = b"passed", b"failed"
_START_S = 1.0
"""What a test may wait beside the time of the program."""
_ROUNDS = 10
"""How often a program may take that long while it computes: on a busy machine it computes slowly."""
_COMPUTES_S = 0.02
"""Processor time of a round in which a program does not merely wait."""


def main() -> None:
    """Arguments: file descriptors of the program and of the tests, and what may be read where no folder is hidden."""
    die_with_parent()
    program_file, tests_file, *readable = sys.argv[1:]
    program = read_program(_read(int(program_file)))
    if readable:
        drop_privileges()
        read_only(readable)

    launcher = Launcher(program)
    asked = json.loads(_read(int(tests_file)))
    _say({"ready": True})
    for test in asked["tests"]:
        passed = (_exchange if "stdout" in test else _assertion)(test, program, launcher)
        _say({"passed": passed})
        if asked["stop_at_failure"] and not passed:
            break


def _read(file: int) -> str:
    with os.fdopen(file, "rb") as stream:
        return stream.read().decode()


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _exchange(test: dict[str, Any], program: Program, launcher: Launcher) -> bool:
    """Whether the program writes this output, up to white space, when it reads this input."""
    stdin = os.memfd_create("stdin")
    os.write(stdin, test["stdin"].encode("utf-8", "surrogatepass"))
    os.lseek(stdin, 0, os.SEEK_SET)
    output, write_end = os.pipe()

    pid = launcher.start(stdin, write_end)
    os.close(stdin)
    os.close(write_end)
    patience = program.limits.seconds + _START_S
    written = _until_closed(output, patience, pid, most=_MOST_OUTPUT + 2 * len(test["stdout"]))
    code = launcher.end(pid, monotonic() + patience if written is not None else None)
    return (
        code == 0
        and written is not None
        and written.decode("utf-8", "replace").split() == test["stdout"].split()
    )


def _assertion(test: dict[str, Any], program: Program, launcher: Launcher) -> bool:
    """Whether code that calls the program raises nothing."""
    ours, theirs = socket.socketpair()
    verdict, write_end = os.pipe()

    pid = launcher.start(theirs.fileno())
    theirs.close()
    tester = os.fork()
    if tester == 0:
        _become_tester(test, program, ours.detach(), write_end)
    ours.close()
    os.close(write_end)
    said = _until_closed(verdict, program.limits.seconds + _START_S, pid, tester)
    os.kill(tester, signal.SIGKILL)
    os.waitpid(tester, 0)
    launcher.end(pid)

    if said not in (_PASSED, _FAILED, b"", None):
        _say({"problem": said.decode()})
        sys.exit()
    return said == _PASSED


def _become_tester(test: dict[str, Any], program: Program, channel: int, verdict: int) -> None:
    """Run a test as this process's last act, and write down how it ended."""
    null = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1, 2):
        os.dup2(null, place)
    program.shut_in()
    try:
        peer = Peer(channel)
        defined = peer.ask("load", *test["names"])
        scope = {"__name__": "__main__"}
        scope |= {
            name: defined[name] for name in test["names"] if name in defined
        }  # it may offer others, such as abs
        exec(compile(test["code"], "test.py", "exec", dont_inherit=True), scope)  # noqa: S102
        said = _PASSED
    except UnsendableError as error:
        said = f"the test passes something to the program that cannot be passed: {error}".encode()
    except ModuleNotFoundError as error:
        said = f"the test imports what is not there: {error}".encode() if error.name else _FAILED
    except BaseException:
        said = _FAILED
    os.write(verdict, said)
    os._exit(0)


def _until_closed(
    file: int, patience: float, *processes: int, most: int = _MOST_OUTPUT
) -> bytes | None:
    """What is written before the other end closes; None when that is too much, or when it takes too long.

    Processor time has its own limit. Beside it processes may wait for so many seconds, or longer
    while they compute.
    """
    written, used, rounds = b"", 0.0, _ROUNDS
    deadline = monotonic() + patience
    with os.fdopen(file, "rb", buffering=0) as stream:
        while len(written) <= most:
            if select([stream], [], [], max(deadline - monotonic(), 0))[0]:
                chunk = stream.read(1 << 16)
                if not chunk:
                    return written
                written += chunk
                continue

            before, used = used, sum(map(_processor_time, processes))
            rounds -= 1
            if used - before < _COMPUTES_S or not rounds:
                return None
            deadline += patience
    return None


def _processor_time(process: int) -> float:
    """Seconds that a process has computed; nothing when it has ended."""
    try:
        return clock_gettime(~process << 3 | _CPUCLOCK_SCHED)  # as clock_getcpuclockid(3) makes it
    except OSError:
        return 0.0
