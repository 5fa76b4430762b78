"""Compile and run a program in C, JavaScript or Verilog, in a sandbox, and compare its output."""

import json
import math
import re
from typing import Any, Literal

from rlsp_cli.rewards import Sample, Verdict, verifier
from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.sandbox import (
    TOOLCHAINS,
    Case,
    Exchange,
    Limits,
    run_stages,
    working_level,
)

_QUOTED = 80
"""Characters of a test that an error shows."""
_TASK = re.compile(r"\$(?!\s*\])(\w*)")
"""A call of the system, or a bare `$`, of which a macro can make any; not the `$` of a queue."""
_FUNCTIONS = frozenset(
    ["signed", "unsigned", "clog2", "bits", "size", "countones", "onehot", "onehot0", "isunknown"]
)
"""Verilog's system functions that a design may use; the others write, read or end the run."""


@verifier
def testbench(
    sample: Sample,
    *,
    language: Literal["c", "javascript", "verilog"] = "verilog",
    partial: bool = False,
    stages: tuple[float, float, float] = (0.1, 0.1, 0.8),
    seconds: float = 2.0,
    memory_mb: int = 512,
) -> Verdict | None:
    """The program passes all tests; with `partial`, a score in stages: compiles, runs, passes.

    The staged score is a + b * (share of tests that ran to their end) + c * (share that passed),
    with `stages` (a, b, c), and 0 if the program does not compile. VeriReason's reward has such
    stages; its weights were not at hand, so these are rlsp's own.

    The program is the last fenced block of the language, or without a label. `reference` is a JSON
    list of tests: {"input": ..., "output": ...} for standard input and output (C, JavaScript), or
    {"testbench": code, "output": ...} for code that is built with the program (C, Verilog). The
    expected output never enters the sandbox. So let a testbench print what the program returns, and
    not a verdict, which the program could print as well.

    Needs gcc, node or iverilog in /usr, and namespaces (docs/code_exec.md). Each test may take
    `seconds` of processor time and `memory_mb`. Give the component a `timeout_s` that all fit in.
    """
    if not math.isclose(sum(stages), 1):
        raise ValueError(f"stages {stages} add up to {sum(stages)}, expected 1")

    # First, so that a command ends at its start, and not with an error for each response.
    toolchain = TOOLCHAINS[language]
    working_level(toolchain)

    cases = [_case(test, bool(toolchain.testbench)) for test in _listed(sample.reference or "")]
    # Without tests any program would pass.
    if not cases:
        return None

    program = _program(sample.response, toolchain.labels)
    if program is None or (language == "verilog" and _acts(program)):
        return Verdict(False, program)

    found = run_stages(toolchain, program, cases, Limits(seconds, memory_mb))
    if not partial:
        return Verdict(all(found.passed), program)

    compiles, runs, passes = stages
    ran, passed = sum(found.ran) / len(cases), sum(found.passed) / len(cases)
    return Verdict(found.compiles * (compiles + runs * ran + passes * passed), program)


def _program(response: str, labels: tuple[str, ...]) -> str | None:
    blocks = [block for block in fenced_blocks(response) if block.language in ("", *labels)]

    # The last one that says its language: one without a label may be an example of its output.
    named = [block for block in blocks if block.language]
    return (named or blocks)[-1].code if blocks else None


def _acts(design: str) -> bool:
    """Whether a design writes, reads or ends the simulation, which is the testbench's to do."""
    return any(task not in _FUNCTIONS for task in _TASK.findall(design))


def _listed(reference: str) -> list[Any]:
    found = json.loads(reference) if reference.strip() else []
    return found if isinstance(found, list) else [found]


def _case(test: Any, builds: bool) -> Case:
    known = isinstance(test, dict) and "output" in test and {"input", "testbench"} & test.keys()
    if not known or ("testbench" in test and not builds):
        expected = '{"input": ..., "output": ...}'
        expected += ' or {"testbench": ..., "output": ...}' if builds else ""
        raise ValueError(f"a test is {str(test)[:_QUOTED]!r}, expected {expected}")

    exchange = Exchange(str(test.get("input", "")), str(test["output"]))
    return Case(exchange, str(test.get("testbench", "")))
