"""Attacks on the sandbox of `code_exec`, at each level that this machine grants: none gets out, stays, or wins."""

import ast
import ctypes
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.rewards.sandbox import Assertion, Exchange, Level, Limits, run_tests
from rlsp_cli.rewards.sandbox.level import levels
from tests.red_team.forgeries import FORGERIES

ATTACKS = Path(__file__).parent / "red_team" / "attacks.py"
HELPERS = {"checked", "call", "capabilities"}
NAMES = [
    n.name
    for n in ast.parse(ATTACKS.read_text()).body
    if isinstance(n, ast.FunctionDef) and n.name not in HELPERS
]
LEVELS = {level.name: level for level in levels()}
KNOWN = {("landlock", "stat_outside")}
"""What Landlock does not stop, and docs/code_exec.md says so."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="the attacks have x86-64's system calls"
    ),
]


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    return LEVELS[request.param]


@dataclass
class Outside:
    """What a program must not reach."""

    file: Path
    victim: "subprocess.Popen[bytes]"

    def state(self) -> tuple[Any, ...]:
        """Everything about it that an attack would change."""
        pid, stat = self.victim.pid, self.file.stat()
        return (
            self.victim.poll(),
            resource.prlimit(pid, resource.RLIMIT_NOFILE),
            resource.prlimit(pid, resource.RLIMIT_CPU),
            os.getpriority(os.PRIO_PROCESS, pid),
            os.sched_getaffinity(pid),
            os.sched_getscheduler(pid),
            (
                stat.st_mode,
                stat.st_uid,
                stat.st_mtime,
                self.file.read_text(),
                os.listxattr(self.file),
            ),
            sorted(os.listdir(self.file.parent)),
            sorted(name for name in os.listdir("/dev/shm") if name.startswith("many")),
            [ctypes.CDLL(None).shmget(0x52540001, 0, 0), ctypes.CDLL(None).msgget(0x52540002, 0)],
            socket.gethostname(),
        )


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    file = tmp_path_factory.mktemp("outside") / "secret"
    file.write_text("secret")
    victim = subprocess.Popen(["sleep", "600"], env={"SECRET": "planted"})
    yield Outside(file, victim)
    victim.kill()
    victim.wait()


@pytest.fixture(scope="module")
def results(level: Level, outside: Outside) -> dict[str, bool]:
    """Every attack, each in processes of its own, in one sandbox; one after which nothing outside may have changed."""
    given = f"OUTSIDE, FOLDER, VICTIM = {str(outside.file)!r}, {str(outside.file.parent)!r}, {outside.victim.pid}"
    stopped = "(OSError, MemoryError, RecursionError, ValueError, EOFError)"
    tries = f"try: found = {{0}}()\nexcept {stopped}: found = False\n"
    tests = [
        Assertion(tries.format(name) + f"assert found is False, '{name}'", (name,))
        for name in NAMES
    ]
    before = outside.state()
    passed = run_tests(ATTACKS.read_text(), tests, Limits(30.0), prelude=given, level=level)
    assert outside.state() == before
    return dict(zip(NAMES, passed, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_stopped(name: str, level: Level, results: dict[str, bool]) -> None:
    assert results[name] is ((level.name, name) not in KNOWN)


@pytest.fixture(scope="module")
def verdicts(level: Level) -> dict[str, list[bool]]:
    """What each forgery gets; most of them only wait, so they run side by side."""
    tests = [Assertion("assert abs(add(1, 2) - 1) >= 0 and add(1, 2) == 271828182", ("add",))]

    def verdict(program: str) -> list[bool]:
        return run_tests(program, tests, Limits(1.0, 256), level=level)

    assert run_tests("def add(a, b): return 271828182", tests, Limits(30.0, 256), level=level) == [
        True
    ]
    with ThreadPoolExecutor(4) as threads:
        return dict(zip(FORGERIES, threads.map(verdict, FORGERIES.values()), strict=True))


@pytest.mark.parametrize("name", FORGERIES)
def test_a_wrong_program_is_wrong_whatever_it_does(
    name: str, verdicts: dict[str, list[bool]]
) -> None:
    """Neither right nor an error: it reads nothing of the test, and has no say in the verdict."""
    assert verdicts[name] == [False]


OFFERS_MORE = """
import json, os
def reply(value): os.write(3, json.dumps({"value": value, "printed": ""}).encode() + b"\\n")
def named(**what): return ["builtins.dict", *(["builtins.tuple", name, value] for name, value in what.items())]
asked = os.fdopen(os.dup(3))
constant = ["mine", 1]
reply(named(add=["mine", 0], abs=constant, __builtins__=named(abs=constant)))
for line in asked: reply(0 if "1]" in line.split("kwargs")[0][:60] else 7)
"""


def test_a_program_offers_nothing_but_what_a_test_takes(level: Level) -> None:
    """It speaks for the process that it runs in, and names functions that the test does not take from it."""
    close = [Assertion("assert abs(add(1, 2) - 271828182) < 1e-6", ("add",))]
    assert run_tests(OFFERS_MORE, close, Limits(5.0), level=level) == [False]
    assert run_tests(
        OFFERS_MORE, [Assertion("assert add(1, 2) == 7", ("add",))], Limits(5.0), level=level
    ) == [True]


def test_a_program_inherits_no_file_however_many_are_open(level: Level) -> None:
    program = """
import os, re
def add(a, b):
    for file in range(2000):
        try: found = re.search(rb"== (\\d{9})", os.pread(file, 9999, 0))
        except OSError: continue
        if found: return int(found[1])
"""
    test = [Assertion("assert add(1, 2) == 271828182", ("add",))]
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(300)]
    try:
        assert run_tests(program, test, Limits(30.0), level=level) == [False]
    finally:
        for file in opened:
            os.close(file)


@pytest.mark.parametrize(
    "program", ["print(input())", "print('1 2')", "print(3); raise SystemExit(1)", "print(4)"]
)
def test_a_program_that_does_not_compute_its_output_is_wrong(program: str, level: Level) -> None:
    assert run_tests(program, [Exchange("1 2", "3")], Limits(1.0), level=level) == [False]
    honest = "print(sum(map(int, input().split())))"
    assert run_tests(honest, [Exchange("1 2", "3")], Limits(30.0), level=level) == [True]


def test_nothing_survives_the_sandbox_when_its_starter_is_killed(level: Level) -> None:
    """The program clears what would kill it with its parent, and sleeps; then the process that runs it is killed."""
    program = "import ctypes, time\nctypes.CDLL(None).prctl(1, 0)\ntime.sleep(300)"
    code = (
        "from rlsp_cli.rewards.sandbox import Assertion, Level, Limits, run_tests\n"
        f"print(flush=True); run_tests({program!r}, [Assertion('add()', ('add',))], Limits(300), level={level!r})"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert starter.stdout is not None and starter.stdout.read(1)
    started = descendants(starter.pid, least=4)
    starter.kill()
    starter.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


def descendants(pid: int, least: int) -> set[int]:
    """All processes below one, once there are so many."""
    found: set[int] = set()

    def enough() -> bool:
        found.update(_below(pid))
        return len(found) >= least

    wait_until(enough)
    return found


def _below(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _below(child)


def wait_until(condition: Callable[[], bool]) -> None:
    """For a minute at most."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_a_machine_without_user_namespaces_falls_back_and_strict_isolation_refuses_it(
    tmp_path: Path,
) -> None:
    """As in a container without privileges: there are no more user namespaces to be had, and no capabilities."""
    if "namespaces" not in LEVELS:
        pytest.skip("no bubblewrap on this machine")
    here = ["--dev-bind", "/", "/", "--proc", "/proc"]
    container = [
        LEVELS["namespaces"].bwrap,
        "--unshare-user",
        "--disable-userns",
        "--cap-drop",
        "ALL",
        *here,
    ]
    samples, recipe = tmp_path / "samples.jsonl", tmp_path / "strict.yaml"
    tested = {
        "prompt": "",
        "response": "```python\ndef one(): return 1\n```",
        "reference": "assert one() == 1",
    }
    samples.write_text(json.dumps(tested))
    recipe.write_text(
        "extends: quickstart\nreward: {correctness: {use: code_exec, isolation: strict}}\n"
    )

    code = "from rlsp_cli.rewards.sandbox import strongest_level; print(strongest_level().name)"
    level = subprocess.run(
        [*container, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert level.stdout == "landlock\n", level.stderr
    tries = [
        *container,
        sys.executable,
        "-m",
        "rlsp_cli",
        "reward",
        "try",
        "--samples",
        str(samples),
    ]
    any_level = subprocess.run(
        [*tries, "--verifier", "code_exec"], capture_output=True, text=True, check=False
    )
    assert any_level.returncode == 0 and "1.0" in any_level.stdout, any_level.stderr
    strict = subprocess.run([*tries, str(recipe)], capture_output=True, text=True, check=False)
    assert strict.returncode == 3 and "isolation: strict needs namespaces" in strict.stderr, (
        strict.stderr
    )
