"""`code_steps`: the steps up to which a program runs."""

import pytest

from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.steps import split_steps

SCORER = get_plugin("step_scorer", "code_steps").function


def scores(response: str, by: str = "lines", **options: str) -> list[float | None]:
    steps = [step.text for step in split_steps(response, by)]
    found: list[float | None] = SCORER(Sample("", response), steps, **{"seconds": 30.0, **options})
    return found


@pytest.mark.integration
def test_a_program_breaks_at_the_line_that_raises() -> None:
    good = "Think.\n```python\ndef half(x):\n    return x // 2\n\ny = half(6)\n"
    # Of a function alone its first line is half a statement; words before the program are none.
    assert scores(f"{good}z = y + 1\n```\nDone") == [None, None, None, 1.0, 1.0, 1.0, 1.0]

    broken = scores(f"{good}z = y / 0\nw = 1\nif w:\n    y = 2\n```")
    assert broken == [None, None, None, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.integration
def test_blocks_of_several_steps_are_one_program() -> None:
    first = "Let x be 3.\n```python\nx = 3\n```"
    assert scores(f"{first}\n\nDouble it.\n```python\nprint(2 * x)\n```", "blank_line") == [1, 1]
    assert scores(f"{first}\n\nDouble it.\n```python\nprint(2 * y)\n```", "blank_line") == [1, 0]
    assert scores("x = 1\ny = x\nz = w", program="all") == [1, 1, 0]


def test_what_cannot_become_python_is_broken_without_a_run() -> None:
    assert scores("it is 3\nx = 1", program="all") == [0.0, 0.0]
    assert scores("no program here\nnor here") == [None, None]


@pytest.mark.integration
def test_a_score_does_not_change_when_later_steps_do() -> None:
    response = "```python\nx = [\n    1,\n]\ny = x[1]\n```\nend"
    steps = [step.text for step in split_steps(response)]
    whole = SCORER(Sample("", response), steps, seconds=30.0)
    for count in range(1, len(steps)):
        assert SCORER(Sample("", response), steps[:count], seconds=30.0) == whole[:count]
