"""Data rows: what is read, and what is said when it is not there."""

import tracemalloc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import stages_of
from rlsp_cli.data import Trace, forget_rows, prompt_rows, trace_rows
from rlsp_cli.errors import DataError, NotReadyError, RlspError
from rlsp_cli.outside import read_json
from rlsp_cli.plan import headline, make_plan
from rlsp_cli.preflight import inspect_recipe, read_recipe
from rlsp_cli.recipe.rows import Prompts, Traces
from rlsp_cli.runs.stream import append_rows


def prompts(folder: Path, name: str, text: str, **keys: Any) -> list[tuple[str, str, str | None]]:
    (folder / name).write_text(text, encoding="utf-8")
    rows = prompt_rows(Prompts(source=str(folder / name), **keys))
    return [(row.id, row.problem, row.answer) for row in rows]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "p.jsonl",
            '\ufeff{"id": "a", "problem": "1+1", "answer": 2}\n\n{"id": "b", "problem": "2+2", "answer": "4"}\n',
        ),
        (
            "p.json",
            '[{"id": "a", "problem": "1+1", "answer": 2}, {"id": "b", "problem": "2+2", "answer": "4"}]',
        ),
        ("p.csv", "id,problem,answer\na,1+1,2\nb,2+2,4\n"),
    ],
)
def test_all_file_forms_give_the_same_problems(tmp_path: Path, name: str, text: str) -> None:
    assert prompts(tmp_path, name, text) == [("a", "1+1", "2"), ("b", "2+2", "4")]


def test_columns_are_named_by_the_recipe_and_ids_default_to_the_row_number(tmp_path: Path) -> None:
    text = '{"q": "1+1", "a": "2", "level": 3}\n'
    assert prompts(tmp_path, "p.jsonl", text, problem="q", answer="a") == [("0", "1+1", "2")]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "p.jsonl",
            '{"problem": "x", "answer": "1"}\n{"question": "x"}\n',
            "p.jsonl:2: no column 'problem'; its columns: question",
        ),
        ("p.jsonl", '{"problem": "x", "answer": "1"}\n{"problem"\n', "p.jsonl:2:1: not valid JSON"),
        ("p.jsonl", "[1]\n", "p.jsonl:1: expected an object, found list"),
        ("p.jsonl", '{"problem": "x", "answer": " "}\n', "p.jsonl:1: column 'answer' is empty"),
        ("p.jsonl", '{"problem": "x", "answer": ["1"]}\n', "p.jsonl:1: column 'answer' holds list"),
        ("p.jsonl", "\n", "no rows in this data set"),
        ("p.csv", "problem,answer\n", "no rows in this data set"),
        ("p.json", "{}", "expected a list of objects"),
        ("p.txt", "x", "cannot read .txt; known: .jsonl"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_row(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        prompts(tmp_path, name, text)
    assert words in str(caught.value)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(DataError, match=r"none.jsonl: no such file"):
        prompt_rows(Prompts(source="none.jsonl"))


def test_an_id_of_the_hub_without_its_prefix_is_told_how_to_write_it() -> None:
    with pytest.raises(
        DataError,
        match=r"openai/gsm8k: no such file; a data set on the hub is written hf:openai/gsm8k",
    ):
        prompt_rows(Prompts(source="openai/gsm8k"))


def test_the_hub_without_its_package_says_how_to_get_it() -> None:
    with pytest.raises(NotReadyError, match=r"rlsp\[hub\]|cannot load it from the hub"):
        prompt_rows(Prompts(source="hf:org/name"))


def test_a_task_gives_the_same_rows_each_time_and_its_splits_share_no_problem() -> None:
    train = prompt_rows(Prompts(source="task:pair_sum", rows=3000))
    test = prompt_rows(Prompts(source="task:pair_sum", split="test", rows=300))
    forget_rows()
    assert train == prompt_rows(Prompts(source="task:pair_sum", rows=3000))

    def key(problem: str) -> tuple[str, ...]:
        words = problem.removesuffix("?").replace(",", "").split()
        return (*sorted(word for word in words[:-1] if word.isdigit()), words[-1])

    assert not {key(row.problem) for row in train} & {key(row.problem) for row in test}


def test_demonstrations_of_the_task_are_right_in_every_step_and_give_up_too_early() -> None:
    rows = trace_rows(Traces(source="task:pair_sum", rows=500))
    gave_up = 0
    for row in rows:
        target = int(row.prompt.rstrip("?").split()[-1])
        for step in row.response.split(". ")[1:]:
            if "=" in step:
                left, _, right = step.partition(" = ")
                a, b = map(int, left.split(" + "))
                total, wanted, verdict = (
                    int(right.split(",")[0]),
                    int(right.split()[1]),
                    step.split(": ")[1],
                )
                assert total == a + b and wanted == target
                assert verdict.startswith(
                    "too low" if total < target else "too high" if total > target else "correct"
                )
        gave_up += row.response.endswith("\\boxed{none}")
    assert 0.5 < gave_up / len(rows) < 0.85
    assert any("go back" in row.response for row in rows)


def test_demonstrations_that_guess_box_a_pair_that_they_have_not_tried() -> None:
    guesses = [row.response for row in _pair_sums(guess=True) if "I guess" in row.response]
    for response in guesses:
        tried, _, guess = response.partition(" I guess. \\boxed{")
        assert f" {guess.rstrip('}')} = " not in tried
    assert len(guesses) > 100


def test_demonstrations_go_back_only_as_often_as_asked() -> None:
    assert not any("go back" in row.response for row in _pair_sums(go_back=0.0))

    persistent = [row.response for row in _pair_sums(give_up=0.0, go_back=1.0)]
    assert not any("give up" in response for response in persistent)
    assert any(response.count("go back") == 2 for response in persistent)


def test_a_demonstration_that_stops_after_going_back_has_no_answer() -> None:
    rows = _pair_sums(guess=True, give_up=0.2, go_back=[0.9, 0.0])
    went_back = [row.response for row in rows if "go back" in row.response]

    stopped = [response for response in went_back if "correct" not in response]
    assert len(stopped) > 50
    assert all(response.endswith("I give up. \\boxed{none}") for response in stopped)
    assert all(response.count("go back") == 1 for response in went_back)


def test_the_last_chance_of_going_back_holds_for_the_numbers_that_follow() -> None:
    rows = _pair_sums(numbers=5, largest=20, give_up=0.0, go_back=[0.0, 1.0])
    assert not any("go back" in row.response for row in rows)

    rows = _pair_sums(numbers=5, largest=20, give_up=0.0, go_back=[1.0])
    assert any(row.response.count("go back") == 3 for row in rows)


def _pair_sums(**options: float | list[float]) -> Iterable[Trace]:
    return trace_rows(Traces(source="task:pair_sum", rows=500, options=options))


def test_the_papers_aime_prompts_are_read_whole(shared_data: Path) -> None:
    rows = list(prompt_rows(Prompts(source=str(shared_data / "aime_1983_2023.jsonl"))))
    assert len(rows) == 918 and rows[0].id == "1983-1" and rows[0].metadata == {"year": "1983"}


def test_columns_that_json_does_not_have_become_lists_and_text(tmp_path: Path) -> None:
    import datetime

    import numpy

    row = {
        "problem": "1+1",
        "answer": "2",
        "levels": numpy.array([1, 2]),
        "on": datetime.date(2024, 1, 2),
    }
    plugin = tmp_path / "rows.py"
    plugin.write_text(
        "import datetime\nimport numpy\nfrom typing import Any\nfrom rlsp_cli.rewards import task\n\n@task\n"
        f"def rows(index: int, split: str) -> dict[str, Any]:\n    array = numpy.array\n    return {row!r}\n"
    )
    (problem,) = prompt_rows(Prompts(source=f"task:{plugin}:rows", rows=1))
    assert problem.metadata == {"levels": [1, 2], "on": "2024-01-02"}


def rows_file(path: Path, problems: int, **columns: str) -> Path:
    problem = f"What does the file {path.stem} say of {{}}?"
    append_rows(
        path, [{"problem": problem.format(n), "answer": str(n), **columns} for n in range(problems)]
    )
    return path


def test_a_command_parses_each_row_once_however_many_of_its_steps_look_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {
        "traces": rows_file(tmp_path / "traces.jsonl", 80, solution="It is."),
        "prompts": rows_file(tmp_path / "prompts.jsonl", 160),
        "heldout": rows_file(tmp_path / "heldout.jsonl", 3),
    }
    parsed: Counter[bytes] = Counter()

    def counting(text: bytes) -> Any:
        parsed[text.strip()] += 1
        return read_json(text)

    monkeypatch.setattr("rlsp_cli.data.source.read_json", counting)
    forget_rows()
    overrides = [f"data.{role}={{source: {path}}}" for role, path in sources.items()]
    recipe, path = read_recipe("openrlhf_cpu", overrides)
    inspect_recipe(recipe, path, stages_of(recipe))
    assert make_plan(recipe).counts[0].rows
    headline(recipe, "ppo")

    written = Counter(line for path in sources.values() for line in path.read_bytes().splitlines())
    assert parsed == written


def test_a_large_source_is_read_from_disk_at_each_use_and_never_all_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsp_cli.data.kept._MOST", 10)
    small = trace_rows(Traces(source=str(rows_file(tmp_path / "s.jsonl", 10, solution="It is."))))
    assert isinstance(small, list)

    source = rows_file(tmp_path / "l.jsonl", 1000, solution="It is. " * 1000)
    traces = trace_rows(Traces(source=str(source)))
    tracemalloc.start()
    prompts = [trace.prompt for trace in traces]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < source.stat().st_size / 10
    assert len(traces) == len(prompts) == len(set(prompts)) == 1000
    assert [trace.prompt for trace in traces] == prompts


def test_a_broken_row_far_down_in_a_large_source_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsp_cli.data.kept._MOST", 10)
    source = rows_file(tmp_path / "traces.jsonl", 30, solution="It is.")
    append_rows(source, [{"problem": "And the last?"}])
    recipe, path = read_recipe("openrlhf_cpu", [f"data.traces={{source: {source}}}"])
    with pytest.raises(RlspError, match=r"traces\.jsonl:31: no column 'solution'"):
        inspect_recipe(recipe, path, stages_of(recipe))


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    source = rows_file(tmp_path / "p.jsonl", 2)
    read = [len(prompt_rows(Prompts(source=str(source))))]
    append_rows(source, [{"problem": "What is it?", "answer": "x"}])
    read += [
        len(prompt_rows(Prompts(source=str(source)))),
        len(prompt_rows(Prompts(source=str(source), rows=1))),
    ]
    assert read == [2, 3, 1]
