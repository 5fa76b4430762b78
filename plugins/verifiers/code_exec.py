"""Unit tests on a program, in a sandbox."""

import json
import secrets
from typing import Any

from rlsp_cli.rewards import Sample, Verdict, last_fenced, verifier
from rlsp_cli.rewards.sandbox import run_python


@verifier
def code_exec(sample: Sample, *, partial: bool = False, seconds: float = 2.0, memory_mb: int = 512) -> Verdict | None:
    """The last fenced Python block passes all tests of `reference`; with `partial`, the share of tests that it passes.

    Tests are a JSON list of assert statements (`"assert add(1, 2) == 3"`, run after the program) and of
    {"input": ..., "output": ...} (standard input and output); or plain Python, as one test. Each test is a process of
    its own: `seconds` and `memory_mb` are its limits, it has no network, starts no process and writes into a scratch
    folder only (rlsp_cli/rewards/sandbox.py says what that can't stop). Give the component a `timeout_s` that all tests
    fit in.
    """
    tests = _tests(sample.reference or "")
    if not tests:
        return None
    program = last_fenced(sample.response, "python", "py")
    if program is None:
        return Verdict(False, None)
    passed = 0
    for done, test in enumerate(tests):
        passed += _passes(program, test, seconds, memory_mb)
        if not partial and passed <= done:
            break
    return Verdict(passed / len(tests) if partial else passed == len(tests), program)


def _tests(text: str) -> list[Any]:
    try:
        tests = json.loads(text)
    except ValueError:
        return [text] if text.strip() else []
    return tests if isinstance(tests, list) else [tests]


def _passes(program: str, test: Any, seconds: float, memory_mb: int) -> bool:
    if isinstance(test, dict):
        result = run_python(program, test["input"], seconds, memory_mb)
        return result.code == 0 and result.stdout.split() == test["output"].split()
    word = secrets.token_hex(16)  # a program that leaves early does not know it
    result = run_python(f"{program}\n{test}\nprint({word!r})\n", "", seconds, memory_mb)
    return result.code == 0 and result.stdout.rstrip().endswith(word)
