"""`rlsp data prompts`: prompts are tried, selected and written, and nothing sampled is lost."""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import prompt_rows
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.traces import RollJob, roll, roll_prompts
from tests.conftest import rlsp

pytestmark = pytest.mark.integration

RIGHT_OF_4 = {"p0": 0, "p1": 1, "p2": 4, "p3": 2, "p4": 3}


class Scripted:
    """Answers each prompt right as often as `RIGHT_OF_4` says; ends after `most` responses."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.asked: list[str] = []

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        for row, request in enumerate(requests):
            if row in done:
                continue
            if self.most == len(self.asked):
                raise KeyboardInterrupt
            self.asked.append(request.id)
            is_right = request.index < RIGHT_OF_4[request.id]
            answer = "4" if is_right else "5"
            yield row, Response(f"So \\boxed{{{answer}}}", num_tokens=3)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    rows = [{"name": id, "question": f"{id}?", "gold": "4", "level": 3} for id in RIGHT_OF_4]
    append_rows(tmp_path / "p.jsonl", rows)
    columns = {"problem": "question", "answer": "gold", "id": "name"}
    data = {
        "name": "roll",
        "data": {
            "template": "Solve {problem}",
            "prompts": {"source": str(tmp_path / "p.jsonl"), **columns},
        },
        "reward": {"correctness": {"use": "exact_match"}, "workers": 1},
    }
    return resolve_recipe(data, plugins=resolve_options)


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    found = Scripted()
    monkeypatch.setattr(roll, "_CHUNK", 2)
    monkeypatch.setattr(
        roll, "open_sampler",
        lambda *_: (found, lambda problem: f"Solve {problem}"),
    )  # fmt: skip
    return found


def band(lo: float, hi: float) -> SelectorUse:
    return SelectorUse.model_validate({"use": "pass_rate", "lo": lo, "hi": hi})


def job(recipe: Recipe, out: Path, selector: SelectorUse) -> RollJob:
    return RollJob(recipe, "model", None, 4, selector, out)


def test_kept_prompts_dropped_ones_and_responses_are_written(
    recipe: Recipe, sampler: Scripted, tmp_path: Path
) -> None:
    one = job(recipe, tmp_path / "out.jsonl", band(0.2, 0.6))
    made = roll_prompts(one)
    assert made.to_json() == {"prompts": 5, "kept": 2, "dropped": 3, "responses": 20}
    assert list(read_rows(one.out)) == [
        {"level": 3, "id": "p1", "problem": "p1?", "answer": "4"},
        {"level": 3, "id": "p3", "problem": "p3?", "answer": "4"},
    ]

    dropped = list(read_rows(one.dropped))
    assert [row["id"] for row in dropped] == ["p0", "p2", "p4"]
    assert dropped[2] == {
        "id": "p4", "responses": 4, "kept": 0, "scored": 4, "right": 3, "mean": 0.75,
        "std": pytest.approx(0.433, abs=1e-3),
        "reason": "3 of 4 responses right, mean correctness 0.75, std 0.433",
    }  # fmt: skip

    responses = list(read_rows(one.responses))
    assert [row["id"] for row in responses] == [id for id in RIGHT_OF_4 for _ in range(4)]
    assert responses[4]["prompt"] == "Solve p1?" and responses[4]["kept"]
    assert [row["correctness"]["value"] for row in responses[4:8]] == [1.0, 0.0, 0.0, 0.0]
    assert not one.drafts.exists()

    with pytest.raises(UsageError, match="exists already"):
        roll_prompts(one)


def test_an_interrupted_command_resumes_to_the_same_files(
    recipe: Recipe, sampler: Scripted, tmp_path: Path
) -> None:
    whole = job(recipe, tmp_path / "whole.jsonl", band(0.2, 0.6))
    roll_prompts(whole)

    sampler.asked, sampler.most = [], 11
    parts = job(recipe, tmp_path / "parts.jsonl", band(0.2, 0.6))
    with pytest.raises(KeyboardInterrupt):
        roll_prompts(parts)
    assert not parts.out.exists()

    sampler.asked, sampler.most = [], None
    roll_prompts(parts)
    assert len(sampler.asked) == 20 - 11
    assert parts.out.read_text() == whole.out.read_text()
    assert parts.dropped.read_text() == whole.dropped.read_text()
    without_times = [
        [json.dumps({**row, "correctness": row["correctness"]["value"]}) for row in read_rows(file)]
        for file in (parts.responses, whole.responses)
    ]
    assert without_times[0] == without_times[1]


def test_a_selector_that_keeps_nothing_may_be_changed_without_sampling_again(
    recipe: Recipe, sampler: Scripted, tmp_path: Path
) -> None:
    narrow = job(recipe, tmp_path / "out.jsonl", band(0.3, 0.4))
    with pytest.raises(DataError) as caught:
        roll_prompts(narrow)
    assert "pass_rate: none of 5 prompts is left; one of them: " in str(caught.value)

    sampler.asked = []
    made = roll_prompts(replace(narrow, selector=band(0.0, 1.0)))
    assert made.kept == 5 and not sampler.asked


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "it has no ppo.select; name a selector by --select"),
        (["--option", "lo=0"], 2, "an option of which selector? name it by --select"),
        (["--select", "pass_rat"], 3, 'did you mean "pass_rate"?'),
        (["--select", "bon", "--out", "x.json"], 2, "name a file that ends in .jsonl"),
    ],
)
def test_a_wrong_command_is_refused(
    arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    base: list[Any] = ["data", "prompts", "quickstart", "--roll", "none", "--out", "x.jsonl"]
    done = rlsp(*base, *arguments, cwd=tmp_path, check=False)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr


TWICE = '''
from typing import Any
from rlsp_cli.rewards import row_shape

@row_shape
def twice(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Each problem in two ways."""
    return [{**row, "question": f"{way} {row['question']}"} for way in ("Add.", "Guess.")]
'''


def test_kept_prompts_keep_the_row_that_they_were_made_of(
    recipe: Recipe, sampler: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.py").write_text(TWICE)
    right = {"p1/0": 1, "p1/1": 2, "p2/0": 1, "p2/1": 4}
    for id, count in right.items():
        monkeypatch.setitem(RIGHT_OF_4, id, count)
    append_rows(
        tmp_path / "two.jsonl",
        [{"name": id, "question": "2 + 2?", "gold": "4"} for id in ("p1", "p2")],
    )
    prompts = {
        **recipe.model_dump(mode="json")["data"]["prompts"],
        "source": str(tmp_path / "two.jsonl"),
        "row": {"use": f"{tmp_path}/rows.py:twice"},
    }
    data = {"name": "roll", "data": {"prompts": prompts}, "reward": {"workers": 1}}
    made = resolve_recipe(data, plugins=resolve_options)

    one = job(made, tmp_path / "out.jsonl", band(0.2, 0.6))
    roll_prompts(one)
    found = {problem.id: problem.parent for problem in prompt_rows(Prompts(source=str(one.out)))}
    assert found == {"p1/0": "p1", "p1/1": "p1", "p2/0": "p2"}
