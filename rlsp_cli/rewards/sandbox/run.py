"""Run a program's tests in a sandbox, at the strongest level that this machine grants."""

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards.sandbox.box.launcher import Limits, Program
from rlsp_cli.rewards.sandbox.calls import allowed_calls
from rlsp_cli.rewards.sandbox.level import Level, levels

_START_S = 30.0
"""Time a sandbox may take to start: long, because a busy machine is not the program's fault."""
_BUSY = 10
"""How many times its limit a test may take on a busy machine before the sandbox is given up."""
_GRACE_S = 2
"""Seconds of a test beyond its program's: two processes to start, and what the supervisor waits."""
_MOST_ERROR = 500
"""Characters of a sandbox's standard error that are kept."""
_LIMITS = Limits()
_SHOW_ERRORS = """
import sys
sys.excepthook = lambda kind, error, _: print(f"{kind.__name__}: {error}")
"""


@dataclass(frozen=True)
class Assertion:
    """Code that raises when the program is wrong, and the names of the program that it uses."""

    code: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Exchange:
    """Standard input, and the output that it should give, up to white space."""

    stdin: str
    stdout: str


Test = Assertion | Exchange


def run_tests(
    text: str,
    tests: Sequence[Test],
    limits: Limits = _LIMITS,
    *,
    prelude: str = "",
    stop_at_failure: bool = False,
    level: Level | None = None,
) -> list[bool]:
    """Whether a program passes each test; fewer results when it stops at the first failure.

    NotReadyError where no sandbox starts; ValueError for a test that cannot run, whatever the
    program is.
    """
    program = Program(text, prelude, limits, allowed_calls().hex())
    asked = {"tests": [asdict(test) for test in tests], "stop_at_failure": stop_at_failure}
    said = _said(level or strongest_level(), program, asked, len(tests))

    problem = next((message["problem"] for message in said if "problem" in message), None)
    if problem:
        raise ValueError(problem)

    passed = [bool(message["passed"]) for message in said[1:]]

    # A sandbox that was killed says nothing of the tests that were left: they have failed.
    return passed if stop_at_failure else passed + [False] * (len(tests) - len(passed))


def program_output(text: str, limits: Limits = _LIMITS) -> str | None:
    """What a program writes, with the name and text of an error that ends it in a last line.

    None if it takes too long or writes too much. NotReadyError where no sandbox starts.
    """
    program = Program(text, _SHOW_ERRORS, limits, allowed_calls().hex())
    said = _said(strongest_level(), program, {"tests": "output"}, 1)
    # A sandbox that was killed took too long.
    return said[1]["output"] if len(said) > 1 else None


@cache
def strongest_level() -> Level:
    """The first level at which a sandbox starts and judges right, or NotReadyError with reasons."""
    refusals = []
    for level in levels():
        # One may start and then fail whatever it runs, for lack of memory or of a library, which
        # would read as wrong programs.
        try:
            verdicts = run_tests(_ONE, [_RIGHT, _WRONG], Limits(_START_S), level=level)
        except NotReadyError as error:
            refusals.append(f"{level.words}: {error}")
            continue

        if verdicts == [True, False]:
            return level
        refusals.append(f"{level.words}: wrong verdicts")

    raise NotReadyError(f"no sandbox on this machine - {'; '.join(refusals)}")


def sandbox_words() -> str:
    """The level, or why there is none, for manifests and the doctor."""
    try:
        return strongest_level().words
    except NotReadyError as error:
        return str(error)


_ONE = "def one(): return 1"
_RIGHT = Assertion("assert one() == 1", ("one",))
_WRONG = Assertion("assert one() == 2", ("one",))


def _said(level: Level, program: Program, asked: dict[str, Any], runs: int) -> list[dict[str, Any]]:
    """The lines that a sandbox writes about so many runs of a program; the first says it is ready."""
    patience = _START_S + _BUSY * runs * (program.limits.seconds + _GRACE_S)
    said, error = _in_sandbox(level, program._asdict(), asked, patience)
    if not said:
        raise NotReadyError(f"the sandbox did not start: {error}")
    return said


def _in_sandbox(
    level: Level, program: dict[str, Any], tests: dict[str, Any], timeout_s: float
) -> tuple[list[dict[str, Any]], str]:
    """The lines that a sandbox writes, and the end of its standard error."""
    temporary = "/tmp"  # noqa: S108  a folder of the sandbox, empty and its own

    # Nothing of our own environment, which may hold keys.
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": temporary,
        "TMPDIR": temporary,
        "OMP_NUM_THREADS": "1",
    }
    with ExitStack() as stack:
        # In files, not in arguments: those have a limit, and the machine's users can read them.
        files = [stack.enter_context(_memory(document)) for document in (program, tests)]
        descriptors = [file.fileno() for file in files]
        child = subprocess.Popen(
            level.command(*descriptors),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            pass_fds=descriptors,
            start_new_session=True,
        )
        try:
            output, error = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output, error = child.communicate()

    said = [json.loads(line) for line in output.splitlines()]
    return said, error.decode("utf-8", "replace").strip()[-_MOST_ERROR:]


def _memory(document: dict[str, Any]) -> Any:
    """A file in memory that holds a document as JSON, to be read from its beginning."""
    file = os.fdopen(os.memfd_create("rlsp"), "w+", encoding="utf-8")
    json.dump(document, file)
    file.seek(0)
    return file
