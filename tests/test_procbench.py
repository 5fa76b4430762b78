"""ProcBench: the states of a procedure, and how many of them are right."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.evals.benches import Benches
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards import CheckedVerdict, Sample
from rlsp_cli.rewards.registry import get_plugin


def judged(wanted: list[Any], response: str, **options: bool) -> CheckedVerdict:
    sample = Sample("", response, json.dumps(wanted))
    found: CheckedVerdict = get_plugin("verifier", "procbench").function(sample, **options)
    return found


def result(intermediate: Any, final: Any) -> str:
    return json.dumps({"intermediate": intermediate, "final": final})


@pytest.mark.parametrize(
    ("wanted", "intermediate", "final", "prefix"),
    [
        (["ab", "abc", "abcd"], ["ab", "abc"], "abcd", 1.0),
        (["ab", "abc", "abcd"], ["ab", "abc", "abcd"], "abcd", 1.0),
        (["ab", "abc", "abcd"], ["ab", "x"], "abcd", 1 / 3),
        (["ab", "abc", "abcd"], ["ab"], "abcd", 1 / 3),
        (["ab", "abc"], ["ab", "abc", "y"], "abc", 2 / 4),
        ([3, 7], ["3"], 7, 1.0),
        ([3, 7], ["03"], 7.0, 1.0),
        ([3, 7], [3], [7], 1 / 2),
        ([3, 7], ["three"], 7, 0.0),
        ([["a", "b"], "ab"], [["a", "b"]], "ab", 1.0),
        ([["a", "b"], "ab"], ["ab"], "ab", 0.0),
        ([["1"], "1"], [[1]], 1, 1.0),
    ],
)
def test_states_are_compared_as_in_the_authors_code(
    wanted: list[Any], intermediate: Any, final: Any, prefix: float
) -> None:
    response = f"First {{a}}, then: {result(intermediate, final)}"
    assert judged(wanted, response, partial=True).correct == pytest.approx(prefix)
    assert judged(wanted, response).correct == float(prefix == 1)


def test_the_final_state_and_the_prefix_are_checks() -> None:
    found = judged(["a", "b", "c"], result(["a", "x"], "c"))
    assert found.checks == {"final": [True], "states": [True, False, False]}
    assert found.answer == '["a", "x", "c"]'


@pytest.mark.parametrize(
    "response",
    [
        "",
        "no result",
        '{"intermediate": "a", "final": "b"}',
        '{"intermediate": ["a"]}',
        '{"intermediate": ["a"], "final": ',
        '{"final": ' + "[" * 100_000,
        '<think>{"intermediate": ["a"], "final": "b"}</think> I do not know.',
    ],
)
def test_a_response_without_a_result_is_wrong_and_has_no_answer(response: str) -> None:
    found = judged(["a", "b"], response)
    assert (found.correct, found.answer) == (0.0, None)
    assert found.checks == {"final": [False], "states": [False, False]}


def test_the_last_result_counts() -> None:
    assert judged(["a", "b"], result(["x"], "y") + "\nNo: " + result(["a"], "b")).correct == 1.0


def test_the_bench_reads_the_rows_of_its_data_set(tmp_path: Path) -> None:
    row = {
        "problem_name": "task01_0000",
        "task_name": "task01",
        "prompt": "Sort the letters of {ba}.",
        "label": {"init": "ba", "intermediate": ["ba"], "final": "ab"},
    }
    path = tmp_path / "combined_dataset.jsonl"
    path.write_text(json.dumps(row) + "\n")

    settings = {"benches": ["procbench"], "data": str(path)}
    recipe = resolve_recipe({"name": "x", "model": {"path": "m"}, "eval": settings})
    (problem,) = (bench := Benches.of(recipe).load("procbench")).problems
    assert (problem.id, problem.answer) == ("task01_0000", '["ba", "ab"]')
    asked = bench.ask(problem.problem)
    assert asked.startswith("Sort the letters of {ba}.\n\nPut your result")
    assert '{"intermediate": [' in asked
