"""Whether the program runs that a response has written up to each of its steps."""

import codeop
from collections.abc import Callable, Sequence
from typing import Literal

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards import Sample, step_scorer
from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.sandbox import Assertion, Limits, run_tests, strongest_level
from rlsp_cli.rewards.steps import find_steps

_PYTHON = ("", "py", "python", "python3")
"""Labels of fenced blocks that belong to the program."""
_LOADS = Assertion("pass", ())
"""A test that any program passes which runs to its end."""


@step_scorer
def code_steps(
    sample: Sample,
    steps: Sequence[str],
    *,
    program: Literal["fenced", "all"] = "fenced",
    seconds: float = 2.0,
    memory_mb: int = 512,
    isolation: Literal["any", "strict"] = "any",
) -> list[float | None]:
    """1 for a step up to which the program runs, in a sandbox, and 0 from the first that breaks it.

    The program is what stands in fenced Python blocks up to the step; with `program: all` it is the
    whole text. Before its first line, and in the middle of a statement, a step has no score
    (rStar-Math keeps a step if its Python runs, arXiv 2501.04519; PRLCoder compiles and runs the
    lines so far, 2502.01715). The limits are those of `code_exec`, for each run; a response takes
    one run, or as many as a binary search for the first broken step.
    """
    level = strongest_level()
    if isolation == "strict" and level.name != "namespaces":
        raise NotReadyError(
            f"isolation: strict needs namespaces, this machine grants {level.words}"
        )

    def runs(code: str) -> bool:
        return all(run_tests(code, [_LOADS], Limits(seconds, memory_mb), level=level))

    texts = _texts(sample.response, steps)
    return _scores([text if program == "all" else _fenced(text) for text in texts], runs)


def _scores(programs: Sequence[str], runs: Callable[[str], bool]) -> list[float | None]:
    """The score of each prefix; `runs` is asked of as few of them as a binary search needs."""
    states = [_is_whole(code) if code.strip() else None for code in programs]
    end = states.index(False) if False in states else len(states)
    whole = [number for number in range(end) if states[number]]

    # A statement that raises, raises as well with more statements after it.
    low, high = 0, len(whole)
    middle = high - 1  # nearly all programs run
    while low < high:
        if runs(programs[whole[middle]]):
            low = middle + 1
        else:
            high = middle
        middle = (low + high) // 2

    first_broken = whole[low] if low < len(whole) else end
    before = [1.0 if state else None for state in states[:first_broken]]
    return [*before, *[0.0] * (len(states) - first_broken)]


def _is_whole(code: str) -> bool | None:
    """Whether it compiles; None if it may with more lines."""
    try:
        return True if codeop.compile_command(code, "program.py", "exec") else None
    except (SyntaxError, ValueError, OverflowError):
        return False


def _texts(response: str, steps: Sequence[str]) -> list[str]:
    """The response up to the end of each step: the steps themselves lack their indentation."""
    try:
        return [response[: step.end] for step in find_steps(steps, response)]
    except ValueError:  # `span` and `math_only` make steps that are not in the response
        return ["\n".join(steps[: number + 1]) for number in range(len(steps))]


def _fenced(text: str) -> str:
    return "\n".join(block.code for block in fenced_blocks(text) if block.language in _PYTHON)
