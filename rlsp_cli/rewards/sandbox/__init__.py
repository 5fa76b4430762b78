"""Running a model's Python: no file of the machine to write, no network, no other process, and a verdict of our own.

Two things surround a program: the system calls that are left to it (`calls`), and the level of the
    machine (`level`),
either namespaces made by bubblewrap or Landlock. Its tests run in another process than the program
(`box`), which calls it from there, so that it neither sees what is expected nor says whether it
passed.
"""

from rlsp_cli.rewards.sandbox.box.launcher import Limits
from rlsp_cli.rewards.sandbox.level import Level
from rlsp_cli.rewards.sandbox.run import (
    Assertion,
    Exchange,
    Test,
    run_tests,
    sandbox_words,
    strongest_level,
)

__all__ = [
    "Assertion",
    "Exchange",
    "Level",
    "Limits",
    "Test",
    "run_tests",
    "sandbox_words",
    "strongest_level",
]
