"""The process that starts a program, once for each test.

It is forked before the tests are read, so that a program cannot find them in its own memory.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from select import select
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple

from .confine import die_with_parent, filter_calls, limit
from .peer import OPERATIONS, PROGRAM, Peer

_CHANNEL = 3
"""Where a program's process has the socket over which it is called."""
_PID_BYTES = 4
_LONGEST_MESSAGE = len(b"start")
_MOST_FILES = 1 << 20
"""More than any inherited file's number; closing a range is one system call."""


class Limits(NamedTuple):
    """What each process of a program may use: seconds, of computing and of waiting, and memory."""

    seconds: float = 2.0
    memory_mb: int = 512


class Program(NamedTuple):
    """A program's text, and the `prelude` to run before it.

    `calls` is the compiled filter of its system calls, in hexadecimal digits.
    """

    text: str
    prelude: str
    limits: Limits
    calls: str

    def shut_in(self) -> None:
        """Limit and filter this process, for good."""
        die_with_parent()
        limit(self.limits.seconds, self.limits.memory_mb)

        # Last, since it forbids the prctl by which the first of these works.
        filter_calls(bytes.fromhex(self.calls))

    def run(self, name: str) -> dict[str, Any]:
        """Run it as the module `name`, and return what it has defined."""
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = sys.argv[0] = "program.py"
        del sys.argv[1:]  # descriptors and paths of ours

        for text in (self.prelude, self.text):
            code = compile(text, "program.py", "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102
        return module.__dict__


class Launcher:
    """Starts a program in new processes, one at a time."""

    def __init__(self, program: Program) -> None:
        self._control, theirs = socket.socketpair()

        # Forked from here, a program has no memory of the tests, which are read later.
        if os.fork() == 0:
            self._control.close()
            _launch(program, theirs)
        theirs.close()

    def start(self, *files: int) -> int:
        """Start the program, and return its process id.

        One file is a socket: the program is loaded and then serves calls from there. Two files are
        its standard input and output.
        """
        socket.send_fds(self._control, [b"start"], files)
        return self._number()

    def end(self, pid: int, deadline: float | None = None) -> int:
        """Wait for the program until the deadline, if any, kill it, and return its exit code."""
        patience = max(deadline - monotonic(), 0) if deadline is not None else 0
        if not select([self._control], [], [], patience)[0]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self._number()

    def _number(self) -> int:
        return int.from_bytes(self._control.recv(_PID_BYTES, socket.MSG_WAITALL), signed=True)


def _launch(program: Program, control: socket.socket) -> None:
    """At each message start the program, send its process id, then its exit code once it ends."""
    die_with_parent()

    # Whatever else was inherited goes, above all the file that holds the tests.
    os.closerange(_CHANNEL, control.fileno())
    os.closerange(control.fileno() + 1, _MOST_FILES)

    while (message := socket.recv_fds(control, _LONGEST_MESSAGE, 2))[0]:
        files = message[1]
        pid = os.fork()
        if pid == 0:
            control.detach()
            _become(program, files)

        for file in files:
            os.close(file)
        control.sendall(pid.to_bytes(_PID_BYTES))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        control.sendall(code.to_bytes(_PID_BYTES, signed=True))

    # Not sys.exit: buffers and exit handlers are those of the supervisor.
    os._exit(0)


def _become(program: Program, files: list[int]) -> None:
    """Become the program, with these files open and no others."""
    is_called = len(files) == 1
    null = os.open(os.devnull, os.O_RDWR)
    stdin, stdout = (null, null) if is_called else files
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(null, 2)
    if is_called:
        os.dup2(files[0], _CHANNEL)
    os.closerange(_CHANNEL + is_called, _MOST_FILES)

    program.shut_in()

    if not is_called:
        program.run("__main__")
        sys.exit()  # writes out what is still in its buffers

    def load(*names: str) -> dict[str, Any]:
        found = program.run(PROGRAM)
        return {name: found[name] for name in names if name in found}

    Peer(_CHANNEL, {**OPERATIONS, "load": load}).serve()
    os._exit(0)  # nothing of the program is to run once its test has ended


def read_program(text: str) -> Program:
    """The program in a JSON document."""
    data = json.loads(text)
    return Program(**{**data, "limits": Limits(*data["limits"])})
