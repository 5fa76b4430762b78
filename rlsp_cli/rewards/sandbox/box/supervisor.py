"""The first process of a sandbox: it starts the tests of a program and reports how each ended.

It runs neither the program nor a test itself. Each test gets two new processes: one loads the
program and never sees the test; the other runs the test and calls the program through a socket. A
pair of input and output needs the first alone; its output is compared here, or reported where it
is asked for.
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
_CHUNK = 1 << 16
_OUTPUT = "output"
"""In place of tests: what the program writes is wanted."""
_PASSED, _FAILED = b"passed", b"failed"
_START_S = 1.0
"""What a test may wait beyond the program's own seconds."""
_ROUNDS = 10
"""How often a test may wait that long while its program computes, slowly on a busy machine."""
_COMPUTES_S = 0.02
"""Processor time in one wait that tells computing from waiting."""

# A clock id of linux/posix-timers.h: the complement of a process id, and three bits that say
# which of its clocks, as clock_getcpuclockid(3) puts them together.
_CPUCLOCK_SCHED = 2
_CPUCLOCK_BITS = 3


def main() -> None:
    """Arguments: descriptors of program and tests; under Landlock, the readable paths too."""
    die_with_parent()
    program_file, tests_file, *readable = sys.argv[1:]
    program = read_program(_read(int(program_file)))

    # bubblewrap has done both where there are namespaces.
    if readable:
        drop_privileges()
        read_only(readable)

    # Before the tests are read: what is forked later would have them in its memory.
    launcher = Launcher(program)

    asked = json.loads(_read(int(tests_file)))
    _say({"ready": True})

    if asked["tests"] == _OUTPUT:
        _say({"output": _output(program, launcher)})
        return
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
    most = _MOST_OUTPUT + 2 * len(test["stdout"])
    written, code = _run(test["stdin"], program, launcher, most)
    if written is None or code != 0:
        return False
    expected: str = test["stdout"]
    return written.split() == expected.split()


def _output(program: Program, launcher: Launcher) -> str | None:
    """What the program writes when it reads nothing; None if it was killed, or writes too much."""
    written, code = _run("", program, launcher, _MOST_OUTPUT)
    return written if code >= 0 else None


def _run(given: str, program: Program, launcher: Launcher, most: int) -> tuple[str | None, int]:
    """What the program writes, as `_until_closed` has it, and its exit code."""
    # A file, not a pipe: a program that reads nothing would leave us waiting to write.
    stdin = os.memfd_create("stdin")
    os.write(stdin, given.encode("utf-8", "surrogatepass"))
    os.lseek(stdin, 0, os.SEEK_SET)
    output, write_end = os.pipe()

    # Our own write end is closed, or the pipe would stay open after the program's end.
    pid = launcher.start(stdin, write_end)
    os.close(stdin)
    os.close(write_end)

    patience = program.limits.seconds + _START_S
    written = _until_closed(output, patience, pid, most=most)
    code = launcher.end(pid, monotonic() + patience if written is not None else None)
    return None if written is None else written.decode("utf-8", "replace"), code


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

    # Only the tester holds the write end, so anything else is what is wrong with the test itself.
    if said not in (_PASSED, _FAILED, b"", None):
        _say({"problem": said.decode()})
        sys.exit()
    return said == _PASSED


def _become_tester(test: dict[str, Any], program: Program, channel: int, verdict: int) -> None:
    """Run a test as the last thing that this process does, and write how it ended."""
    null = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1, 2):
        os.dup2(null, place)
    # The tester, too: a test runs code of a data set, on values that a program has returned.
    program.shut_in()

    try:
        peer = Peer(channel)
        defined = peer.ask("load", *test["names"])

        # The names that were asked for, and no others: a program might send an `abs` of its own.
        scope = {"__name__": "__main__"}
        scope |= {name: defined[name] for name in test["names"] if name in defined}
        exec(compile(test["code"], "test.py", "exec", dont_inherit=True), scope)  # noqa: S102
        said = _PASSED
    except UnsendableError as error:
        said = f"the test passes something to the program that cannot be passed: {error}".encode()
    except ModuleNotFoundError as error:
        # The test's own import names the module; an error that has come from the program does not.
        said = f"the test imports what is not there: {error}".encode() if error.name else _FAILED
    except BaseException:  # SystemExit, too, by which a program would end its test
        said = _FAILED

    os.write(verdict, said)
    os._exit(0)


def _until_closed(
    file: int, patience: float, *processes: int, most: int = _MOST_OUTPUT
) -> bytes | None:
    """What is written before the other end closes; None when it is too much, or takes too long.

    `patience` is in seconds, and starts anew as long as the processes compute: the kernel limits
    their processor time, and a busy machine is not their fault.
    """
    written, used, rounds = b"", 0.0, _ROUNDS
    deadline = monotonic() + patience

    with os.fdopen(file, "rb", buffering=0) as stream:
        while len(written) <= most:
            if select([stream], [], [], max(deadline - monotonic(), 0))[0]:
                chunk = stream.read(_CHUNK)
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
        return clock_gettime(~process << _CPUCLOCK_BITS | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0
