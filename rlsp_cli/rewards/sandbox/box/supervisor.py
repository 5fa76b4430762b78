"""The first process of a sandbox: it has the program tested, and says how each test ended.

It runs neither the program nor a test itself. Each test has two new processes: one loads the program, which gets no
sight of the test; the other runs the test, and calls the program through a socket. For a pair of input and output there
is only the first, and its output is compared here.
"""

import json
import os
import signal
import socket
import sys
from select import select
from time import monotonic
from typing import Any

from .confine import die_with_parent, drop_privileges, read_only
from .launcher import Launcher, Program, read_program
from .peer import Peer, UnsendableError

_MOST_OUTPUT = 1 << 20
_PASSED, _FAILED = b"passed", b"failed"
_START_S = 1.0
"""What a test may take beside the time of the program."""


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
    deadline = monotonic() + program.limits.seconds + _START_S
    stdin = os.memfd_create("stdin")
    os.write(stdin, test["stdin"].encode("utf-8", "surrogatepass"))
    os.lseek(stdin, 0, os.SEEK_SET)
    output, write_end = os.pipe()

    pid = launcher.start(stdin, write_end)
    os.close(stdin)
    os.close(write_end)
    written = _until_closed(output, deadline)
    code = launcher.end(pid, deadline if written is not None else None)
    return code == 0 and written is not None and written.decode("utf-8", "replace").split() == test["stdout"].split()


def _assertion(test: dict[str, Any], program: Program, launcher: Launcher) -> bool:
    """Whether code that calls the program raises nothing."""
    deadline = monotonic() + program.limits.seconds + _START_S
    ours, theirs = socket.socketpair()
    verdict, write_end = os.pipe()

    pid = launcher.start(theirs.fileno())
    theirs.close()
    tester = os.fork()
    if tester == 0:
        _become_tester(test, program, ours.detach(), write_end)
    ours.close()
    os.close(write_end)
    said = _until_closed(verdict, deadline)
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
        names = peer.ask("load", *test["names"])
        exec(compile(test["code"], "test.py", "exec", dont_inherit=True), {"__name__": "test", **names})  # noqa: S102
        said = _PASSED
    except UnsendableError as error:
        said = f"the test passes something to the program that cannot be passed: {error}".encode()
    except BaseException:
        said = _FAILED
    os.write(verdict, said)
    os._exit(0)


def _until_closed(file: int, deadline: float) -> bytes | None:
    """What is written before the other end closes; None when that takes too long, or is too much."""
    written = b""
    with os.fdopen(file, "rb", buffering=0) as stream:
        while select([stream], [], [], max(deadline - monotonic(), 0))[0]:
            chunk = stream.read(1 << 16)
            if not chunk:
                return written
            written += chunk
            if len(written) > _MOST_OUTPUT:
                return None
    return None
