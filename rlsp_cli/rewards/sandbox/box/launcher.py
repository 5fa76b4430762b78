"""The process that starts a program, as often as it is tested.

It is forked before the tests are read, so that nothing of them is in the memory that a program
starts with.
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
_MOST_FILES = 1 << 20
"""Beyond the number of any file that can have been inherited; closing a range is one call."""


class Limits(NamedTuple):
    """What each process of a program may use: seconds of processor time and of waiting, and address space."""

    seconds: float = 2.0
    memory_mb: int = 512


class Program(NamedTuple):
    """A program's text, and what stands before it.

    `calls` are the system calls that it may use, as a compiled filter in hexadecimal digits.
    """

    text: str
    prelude: str
    limits: Limits
    calls: str

    def shut_in(self) -> None:
        """Limit and filter this process."""
        die_with_parent()
        limit(self.limits.seconds, self.limits.memory_mb)
        filter_calls(bytes.fromhex(self.calls))

    def run(self, name: str) -> dict[str, Any]:
        """Run it as the module of that name; what it has defined."""
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = sys.argv[0] = "program.py"
        del sys.argv[1:]
        for text in (self.prelude, self.text):
            exec(compile(text, "program.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        return module.__dict__


class Launcher:
    """Starts a program in new processes, one at a time."""

    def __init__(self, program: Program) -> None:
        self._control, theirs = socket.socketpair()
        if os.fork() == 0:
            self._control.close()
            _launch(program, theirs)
        theirs.close()

    def start(self, *files: int) -> int:
        """Start the program, and return its process id.

        With one file, a socket, it is loaded and then answers what is asked there; with two they
        are its standard input and output.
        """
        socket.send_fds(self._control, [b"start"], files)
        return self._number()

    def end(self, pid: int, deadline: float | None = None) -> int:
        """Wait for the program until the deadline, or not at all, and kill it; its exit code."""
        patience = max(deadline - monotonic(), 0) if deadline is not None else 0
        if not select([self._control], [], [], patience)[0]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self._number()

    def _number(self) -> int:
        return int.from_bytes(self._control.recv(4, socket.MSG_WAITALL), signed=True)


def _launch(program: Program, control: socket.socket) -> None:
    """Start the program at every message, then say its process id, and its exit code once it has ended."""
    die_with_parent()
    os.closerange(_CHANNEL, control.fileno())
    os.closerange(control.fileno() + 1, _MOST_FILES)
    while (message := socket.recv_fds(control, 5, 2))[0]:
        files = message[1]
        pid = os.fork()
        if pid == 0:
            control.detach()
            _become(program, files)
        for file in files:
            os.close(file)
        control.sendall(pid.to_bytes(4))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        control.sendall(code.to_bytes(4, signed=True))
    os._exit(0)


def _become(program: Program, files: list[int]) -> None:
    """Become the program, with no other file than those given."""
    null = os.open(os.devnull, os.O_RDWR)
    for file, place in zip(files if len(files) == 2 else (null, null), (0, 1), strict=True):
        os.dup2(file, place)
    os.dup2(null, 2)
    if len(files) == 1:
        os.dup2(files[0], _CHANNEL)
    os.closerange(_CHANNEL + (len(files) == 1), _MOST_FILES)
    program.shut_in()

    if len(files) == 2:
        program.run("__main__")
        sys.exit()

    def load(*names: str) -> dict[str, Any]:
        found = program.run(PROGRAM)
        return {name: found[name] for name in names if name in found}

    Peer(_CHANNEL, {**OPERATIONS, "load": load}).serve()
    os._exit(0)


def read_program(text: str) -> Program:
    """From JSON."""
    data = json.loads(text)
    return Program(**{**data, "limits": Limits(*data["limits"])})
