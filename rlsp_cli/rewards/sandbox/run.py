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
"""Time a sandbox may take to start: long, because a loaded machine is no fault of the program."""
_BUSY = 10
"""How much longer than its limit a test may take on a busy machine, before the sandbox itself is given up."""
_LIMITS = Limits()


@dataclass(frozen=True)
class Assertion:
    """Code that raises when the program is wrong, and the names that it takes from the program."""

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
    """Whether a program passes each test; a shorter list when it may stop at the first that fails.

    NotReadyError where no sandbox starts; ValueError for a test that cannot be carried out,
    whatever the program is.
    """
    program = Program(text, prelude, limits, allowed_calls().hex())
    asked = {"tests": [asdict(test) for test in tests], "stop_at_failure": stop_at_failure}
    patience = _START_S + _BUSY * len(tests) * (limits.seconds + 2)
    said, error = _in_sandbox(level or strongest_level(), program._asdict(), asked, patience)
    if not said:
        raise NotReadyError(f"the sandbox did not start: {error}")
    problem = next((message["problem"] for message in said if "problem" in message), None)
    if problem:
        raise ValueError(problem)

    passed = [bool(message["passed"]) for message in said[1:]]
    return passed if stop_at_failure else passed + [False] * (len(tests) - len(passed))


@cache
def strongest_level() -> Level:
    """The first level at which a sandbox starts and gives the right verdicts; NotReadyError says why there is none."""
    refusals = []
    for level in levels():
        try:
            if run_tests(
                "def one(): return 1", [_RIGHT, _WRONG], Limits(_START_S), level=level
            ) == [True, False]:
                return level
            refusals.append(f"{level.words}: wrong verdicts")
        except NotReadyError as error:
            refusals.append(f"{level.words}: {error}")
    raise NotReadyError(f"no sandbox on this machine - {'; '.join(refusals)}")


def sandbox_words() -> str:
    """The level, or why there is none, for manifests and the doctor."""
    try:
        return strongest_level().words
    except NotReadyError as error:
        return str(error)


_RIGHT, _WRONG = Assertion("assert one() == 1", ("one",)), Assertion("assert one() == 2", ("one",))


def _in_sandbox(
    level: Level, program: dict[str, Any], tests: dict[str, Any], timeout_s: float
) -> tuple[list[dict[str, Any]], str]:
    """The lines that a sandbox says, and the end of its standard error."""
    temporary = "/tmp"  # noqa: S108  a folder of the sandbox, empty and its own
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": temporary,
        "TMPDIR": temporary,
        "OMP_NUM_THREADS": "1",
    }
    with ExitStack() as stack:
        files = [stack.enter_context(_memory(document)) for document in (program, tests)]
        command = level.command(*(file.fileno() for file in files))
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            pass_fds=[file.fileno() for file in files],
            start_new_session=True,
        )
        try:
            output, error = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output, error = child.communicate()
    return [json.loads(line) for line in output.splitlines()], error.decode(
        "utf-8", "replace"
    ).strip()[-500:]


def _memory(document: dict[str, Any]) -> Any:
    """A file in memory that holds a document as JSON, to be read from its beginning."""
    file = os.fdopen(os.memfd_create("rlsp"), "w+", encoding="utf-8")
    json.dump(document, file)
    file.seek(0)
    return file
