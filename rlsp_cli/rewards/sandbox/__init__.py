"""Run a model's Python without writable files, network or other processes, and judge it outside.

Two things confine a program: the system calls that it may use (`calls`), and what this machine
offers beyond that (`level`), namespaces made by bubblewrap or else Landlock. Its tests run in
another process (`box`), which calls the program from there. So the program neither sees what a
test expects nor reports whether it passed.
"""

from rlsp_cli.rewards.sandbox.box.launcher import Limits
from rlsp_cli.rewards.sandbox.level import Level
from rlsp_cli.rewards.sandbox.run import (
    Assertion,
    Exchange,
    Test,
    program_output,
    run_tests,
    sandbox_words,
    strongest_level,
)
from rlsp_cli.rewards.sandbox.toolchain import TOOLCHAINS, Case, run_stages, working_level

__all__ = [
    "TOOLCHAINS",
    "Assertion",
    "Case",
    "Exchange",
    "Level",
    "Limits",
    "Test",
    "program_output",
    "run_stages",
    "run_tests",
    "sandbox_words",
    "strongest_level",
    "working_level",
]
