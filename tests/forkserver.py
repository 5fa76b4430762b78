"""A process that has loaded what `rlsp` loads and forks for each command.

Loading takes ten seconds of a processor for each stage, and most of a test's time. A child has the
caller's arguments, folder and streams, and does what `python -m rlsp_cli` does; so does the process
of a stage that it starts. Its environment is the one in which the modules were loaded: a caller
with another environment must start a process of its own.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

_STAGE = "rlsp_cli.backends.local"
"""The module whose process does a stage of the local backend."""
_STAGES = (_STAGE, "rlsp_cli.traces", f"{_STAGE}.model_server", "rlsp_cli")
"""That, and those whose processes make the traces of a round, serve a model, and run an ablation's arm."""
_LOADED = (
    "rlsp_cli.cli",
    f"{_STAGE}.training",
    f"{_STAGE}.models",
    f"{_STAGE}.model_server.app",
    "uvicorn",
    "matplotlib.pyplot",
    "scipy.stats",
)
_LONGEST_REQUEST = 1 << 16
_PASSING = ("PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR")
"""Variables that pytest sets for each test, and torch when it loads its compiler."""
_PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that sets a signal for the death of the parent."""


class ForkServer:
    """A server with the variables of the moment; it starts with the first command, and ends with us."""

    def __init__(self) -> None:
        self._environment = _lasting_environment()

    @cached_property
    def _requests(self) -> socket.socket:
        # Packets keep one request apart from the next.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words, variables = [sys.executable, __file__], self._environment
        with theirs:
            process = subprocess.Popen(words, stdin=theirs.fileno(), env=variables)

        # It ends when nothing is left that could ask it.
        atexit.register(process.wait)
        atexit.register(ours.close)
        return ours

    def serves_us(self) -> bool:
        """Whether our variables are still those of the server, and coverage need not follow forks."""
        measured = any(name.startswith("COVERAGE") for name in os.environ)
        return self._environment == _lasting_environment() and not measured

    def run(self, arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run a command; returns what `subprocess.run` would."""
        with (
            Path(os.devnull).open() as nothing,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            code = self._exit_code(
                {"arguments": arguments, "folder": str(folder)}, nothing, out, err
            )
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def _exit_code(self, request: dict[str, object], *streams: IO[str]) -> int:
        reader, writer = os.pipe()
        with os.fdopen(reader) as answer:
            with os.fdopen(writer, "w") as end:
                files = [*(stream.fileno() for stream in streams), end.fileno()]
                socket.send_fds(self._requests, [json.dumps(request).encode()], files)
            return int(answer.read())


@cache
def the_server() -> ForkServer:
    """The server of this process, made by its first caller."""
    return ForkServer()


def _lasting_environment() -> dict[str, str]:
    """Our variables without those that change by themselves."""
    return {name: value for name, value in os.environ.items() if name not in _PASSING}


def _serve(requests: socket.socket) -> None:
    """Fork for each request, until the caller has ended."""
    # The kernel takes the ended children away.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 4)
        if not message:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(**json.loads(message), files=files)
        for file in files:
            os.close(file)


def _run(arguments: list[str], folder: str, files: list[int]) -> NoReturn:
    """Run the command in one more child, whose exit code the last of `files` is given."""
    *streams, answer = files
    child = get_context("fork").Process(target=_be_command, args=(arguments, folder, streams))
    child.start()
    child.join()
    os.write(answer, str(child.exitcode).encode())
    os._exit(0)


def _be_command(arguments: list[str], folder: str, streams: list[int]) -> None:
    """Become a process of `rlsp`."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)

    # Only now, so that the modules are those of the tested folder.
    from rlsp_cli.child import die_with_parent
    from rlsp_cli.launch import command

    forking = SimpleNamespace(**{**vars(subprocess), "Popen": _popen})
    vars(command)["subprocess"] = vars(die_with_parent)["subprocess"] = forking
    os.chdir(folder)
    sys.path.insert(0, folder)
    try:
        _be_module("rlsp_cli", arguments)
    finally:
        atexit._run_exitfuncs()


def _be_module(name: str, arguments: list[str]) -> None:
    """Do what `python -m NAME` does."""
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _popen(argv: list[str], **options: Any) -> "subprocess.Popen[bytes] | _Stage":
    """A command of a job: a fork for a stage of the local backend, a new process for any other."""
    from rlsp_cli.child.die_with_parent import dying_with_parent

    words = argv[len(dying_with_parent([])) :]
    if words[:3] == [sys.executable, "-P", "-m"] and words[3] in _STAGES:
        return _Stage(words[3:], options)
    return subprocess.Popen(argv, **options)


class _Stage:
    """What `rlsp` uses of the `Popen` of a stage."""

    def __init__(self, arguments: list[str], options: dict[str, Any]) -> None:
        self._process = get_context("fork").Process(target=_be_stage, args=(arguments, options))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)

    def terminate(self) -> None:
        self._process.terminate()


def _be_stage(arguments: list[str], options: dict[str, Any]) -> None:
    """Become the process of a stage, with the `options` that its Popen was given."""
    from rlsp_cli.child import die_with_parent

    # A fork of a process whose threads compute may wait for them for ever.
    vars(die_with_parent)["subprocess"] = subprocess
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with Path(os.devnull).open() as nothing:
        for target, stream in enumerate((nothing, options["stdout"], options["stderr"])):
            os.dup2(stream.fileno(), target)

    os.environ.clear()
    os.environ.update(options["env"])
    del sys.path[0]
    _be_module(arguments[0], arguments[1:])


if __name__ == "__main__":
    # Our folder would hide modules of the same names.
    del sys.path[0]
    for name in _LOADED:
        importlib.import_module(name)

    # Python would look at every object of these modules again in each child, and so copy its page.
    gc.freeze()
    _serve(socket.socket(fileno=0))
