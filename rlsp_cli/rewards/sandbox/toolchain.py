"""Compile and run a program of another language than Python, by a named toolchain, in namespaces.

Every command has a sandbox of its own, which ends with it. What a test expects stays outside: the
output is compared here, so a program cannot say that it is right.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, NamedTuple

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards.sandbox.box.confine import MOST_FILE_BYTES
from rlsp_cli.rewards.sandbox.box.launcher import Limits
from rlsp_cli.rewards.sandbox.calls import allowed_calls
from rlsp_cli.rewards.sandbox.level import Level
from rlsp_cli.rewards.sandbox.run import Exchange, strongest_level

_STARTING = ("execve",)
"""What bubblewrap needs after the filter is in place, to become the program."""
_COMPILING = (
    *_STARTING,
    *("clone", "fork", "vfork", "wait4", "waitid"),
    *("chmod", "fchmod", "fchmodat"),
)
"""A compiler starts its parts as processes, and marks what it has made as a program."""

_COMPILER = Limits(seconds=20, memory_mb=1024)
_PATIENCE = 5
"""How many times its limit of processor time a command may take on a busy machine."""
_START_S = 2.0
_MOST_OUTPUT = 1 << 20


_FILES = "FILES"
"""In a command, stands for the source files."""


class Toolchain(NamedTuple):
    """A language: labels of its fences, its source file, and how files are checked, built and run.

    `check` says whether the program alone compiles. `testbench` is the file of a test's own code,
    empty where it cannot be built together with the program. `hello` is a program that writes hello,
    in the Debian packages `package`. `reserves` says that its runtime reserves more address space
    than it uses, so that only what it uses can be limited.
    """

    labels: tuple[str, ...]
    source: str
    testbench: str
    check: tuple[str, ...]
    build: tuple[str, ...]
    run: tuple[str, ...]
    package: str
    hello: str
    reserves: bool = False

    def command(self, words: Sequence[str], files: Sequence[str]) -> list[str]:
        """One of its commands, on these files."""
        found: list[str] = []
        for word in words:
            found += files if word == _FILES else [word]
        return found


TOOLCHAINS = {
    "c": Toolchain(
        labels=("c",),
        source="program.c",
        testbench="testbench.c",
        check=("gcc", "-std=gnu17", "-fsyntax-only", _FILES),
        build=("gcc", "-std=gnu17", "-O1", "-o", "program", _FILES, "-lm"),
        run=("./program",),
        package="gcc libc6-dev",
        hello='#include <stdio.h>\nint main(void) { puts("hello"); }',
    ),
    "javascript": Toolchain(
        labels=("javascript", "js", "node"),
        source="program.js",
        testbench="",
        check=("node", "--check", _FILES),
        build=(),
        run=("node", "program.js"),
        package="nodejs",
        hello='console.log("hello")',
        reserves=True,
    ),
    "verilog": Toolchain(
        labels=("verilog", "systemverilog", "sv", "v"),
        source="program.v",
        testbench="testbench.v",
        check=("iverilog", "-g2012", "-t", "null", _FILES),
        build=("iverilog", "-g2012", "-o", "program", _FILES),
        run=("vvp", "-n", "program"),
        package="iverilog",
        hello='module hello; initial $display("hello"); endmodule',
    ),
}
"""By language."""


@dataclass(frozen=True)
class Case:
    """Standard input and the output that it should give; `testbench` is code to build with it."""

    exchange: Exchange
    testbench: str = ""


_NO_CASE = Case(Exchange("", ""))


@dataclass(frozen=True)
class Stages:
    """How far a program came: whether it compiles, and by test whether it ran and was right."""

    compiles: bool
    ran: Sequence[bool]
    passed: Sequence[bool]


def run_stages(toolchain: Toolchain, program: str, cases: Sequence[Case], limits: Limits) -> Stages:
    """Compile a program and run each test; a test that ran ended by itself, without an error.

    NotReadyError without namespaces or without the toolchain.
    """
    level = working_level(toolchain)
    nothing = [False] * len(cases)
    with TemporaryDirectory(prefix="rlsp") as name:
        folder = Path(name)
        (folder / toolchain.source).write_text(program, encoding="utf-8", errors="replace")

        check = toolchain.command(toolchain.check, [toolchain.source])
        if not _compiles(level, check, folder):
            return Stages(False, nothing, nothing)

        outputs, builds, testbench = [], False, None
        for case in cases:
            # Tests without code of their own share one build.
            if case.testbench != testbench:
                testbench, builds = case.testbench, _build(level, toolchain, folder, case.testbench)
            run = _output(level, toolchain.run, folder, limits, case, toolchain) if builds else None
            outputs.append(run)

    passed = [
        output is not None and output.split() == case.exchange.stdout.split()
        for output, case in zip(outputs, cases, strict=True)
    ]
    return Stages(True, [output is not None for output in outputs], passed)


@cache
def working_level(toolchain: Toolchain) -> Level:
    """The level of the sandbox, after a program that must work has worked there.

    A compiler that the sandbox stops would otherwise read as wrong programs. NotReadyError as
    `run_stages`.
    """
    level = strongest_level()
    if level.name != "namespaces":
        raise NotReadyError(f"a toolchain needs namespaces, this machine grants {level.words}")

    for command in (toolchain.check[0], toolchain.run[0]):
        found = shutil.which(command) if "/" not in command else "/usr"
        if found is None or not Path(found).resolve().is_relative_to("/usr"):
            where = found or "not on this machine"
            raise NotReadyError(
                f"{command}: {where}, expected in /usr; apt-get install {toolchain.package}"
            )

    with TemporaryDirectory(prefix="rlsp") as name:
        folder = Path(name)
        (folder / toolchain.source).write_text(toolchain.hello, encoding="utf-8")
        if not _build(level, toolchain, folder):
            raise NotReadyError(f"{toolchain.check[0]} does not work in the sandbox")
        if _output(level, toolchain.run, folder, _COMPILER, toolchain=toolchain) != "hello\n":
            raise NotReadyError(f"{toolchain.run[0]} does not work in the sandbox")
    return level


def _build(level: Level, toolchain: Toolchain, folder: Path, testbench: str = "") -> bool:
    """Build the program of a folder, with a test's own code if there is some."""
    files = [toolchain.source]
    if testbench:
        files.append(toolchain.testbench)
        (folder / toolchain.testbench).write_text(testbench, encoding="utf-8")

    command = toolchain.command(toolchain.build, files)
    return not command or _compiles(level, command, folder)


def _compiles(level: Level, command: Sequence[str], folder: Path) -> bool:
    return _output(level, command, folder, _COMPILER) is not None


def _output(
    level: Level,
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    case: Case = _NO_CASE,
    toolchain: Toolchain | None = None,
) -> str | None:
    """What a command writes; None if it fails, takes too long, or writes too much.

    With a `toolchain` it is the program, without one it is a compiler, which may do more.
    """
    is_compiler, reserves = toolchain is None, toolchain is not None and toolchain.reserves
    calls = allowed_calls(*(_COMPILING if is_compiler else _STARTING))

    # Files, not pipes: they are cut at the limit of a file's size, and nothing waits for a reader.
    with TemporaryFile() as given, TemporaryFile() as written, _memory(calls) as rules:
        given.write(case.exchange.stdin.encode("utf-8", "surrogatepass"))
        given.seek(0)
        around = level.around(command, folder, rules.fileno(), writable=is_compiler)
        child = subprocess.Popen(
            [*_limited(limits, reserves), *around],
            stdin=given,
            stdout=written,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp"},  # noqa: S108
            pass_fds=[rules.fileno()],
            start_new_session=True,
        )
        try:
            code = child.wait(_PATIENCE * limits.seconds + _START_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return None

        written.seek(0)
        output = written.read(_MOST_OUTPUT + 1)
    if code != 0 or len(output) > _MOST_OUTPUT:
        return None
    return output.decode("utf-8", "replace")


def _limited(limits: Limits, reserves: bool) -> list[str]:
    """The command that sets a command's limits, as `box.confine.limit` does."""
    memory = "data" if reserves else "as"
    return [
        "prlimit",
        f"--cpu={int(limits.seconds) + 1}",
        f"--{memory}={limits.memory_mb << 20}",
        f"--fsize={MOST_FILE_BYTES}",
        "--core=0",
        "--memlock=0",
        "--",
    ]


def _memory(content: bytes) -> IO[bytes]:
    """A file in memory, to be read from its beginning."""
    file = os.fdopen(os.memfd_create("rlsp"), "w+b")
    file.write(content)
    file.seek(0)
    return file
