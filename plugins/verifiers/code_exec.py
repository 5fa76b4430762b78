"""Run unit tests on a program, in a sandbox."""

from typing import Literal

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards import Sample, Verdict, verifier
from rlsp_cli.rewards.sandbox import Limits, run_tests, strongest_level
from rlsp_cli.rewards.unit_tests import find_program, read_tests


@verifier
def code_exec(
    sample: Sample,
    *,
    partial: bool = False,
    seconds: float = 2.0,
    memory_mb: int = 512,
    isolation: Literal["any", "strict"] = "any",
) -> Verdict | None:
    """The program passes all tests, run in a sandbox; with `partial`, the share that it passes.

    The program is the last fenced Python block that defines what the tests call, after those that
    it needs. `reference` is a JSON list of tests: code that raises when the program is wrong
    (`"assert add(1, 2) == 3"`), or {"input": ..., "output": ...} for standard input and output; or
    it is plain Python, as one test. Code in `metadata.prelude`, such as imports that the problem
    gives, is run before the program.

    Each test starts the program anew: `seconds` of processor time and `memory_mb` are its limits,
    it has no network, starts no process and changes no file of the machine (docs/code_exec.md says
    what that cannot stop). `isolation: strict` refuses to run it without namespaces. Give the
    component a `timeout_s` that all tests fit in.
    """
    level = strongest_level()
    if isolation == "strict" and level.name != "namespaces":
        raise NotReadyError(
            f"isolation: strict needs namespaces, this machine grants {level.words}"
        )

    # Without tests any program would pass.
    tests = read_tests(sample.reference or "")
    if not tests:
        return None

    program = find_program(sample.response, tests)
    if program is None:
        return Verdict(False, None)

    prelude = str(sample.metadata.get("prelude") or "")
    limits = Limits(seconds, memory_mb)
    passed = run_tests(
        program, tests, limits, prelude=prelude, stop_at_failure=not partial, level=level
    )
    return Verdict(sum(passed) / len(tests) if partial else sum(passed) == len(tests), program)
