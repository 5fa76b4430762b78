"""`rlsp init`: three answers, or three options, and a recipe that passes `rlsp check`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import rlsp

pytestmark = pytest.mark.integration

PROBLEMS = [{"question": f"{n} + 1", "answer": str(n + 1)} for n in range(8)]
TRACES = [{"problem": f"{n} + 2", "solution": f"so \\boxed{{{n + 2}}}"} for n in range(8)]
HELDOUT = [{"problem": "5 + 5", "final_answer": "10"}]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def asked(*answers: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`rlsp init mine.yaml` with these lines on standard input."""
    command = [sys.executable, "-m", "rlsp_cli", "init", "mine.yaml"]
    text = "".join(f"{answer}\n" for answer in answers)
    return subprocess.run(command, input=text, cwd=cwd, capture_output=True, text=True, check=False)


def test_answers_and_options_give_the_same_recipe_which_passes_check(tmp_path: Path) -> None:
    write(tmp_path / "rows" / "traces.jsonl", TRACES)
    write(tmp_path / "rows" / "problems.jsonl", PROBLEMS)
    write(tmp_path / "rows" / "heldout.jsonl", HELDOUT)

    done = asked("org/model", "rows", "n", cwd=tmp_path)
    assert (
        done.returncode == 0
        and "mine.yaml: ok (sft on local, ppo on local, eval on local)" in done.stdout
    )
    text = (tmp_path / "mine.yaml").read_text()
    recipe = YAML(typ="safe").load(text)
    assert recipe["model"] == {"path": "org/model"} and recipe["cluster"] == {"gpus_per_node": 0}
    assert recipe["data"]["traces"] == {
        "source": "./rows/traces.jsonl",
        "prompt": "problem",
        "response": "solution",
    }
    assert recipe["data"]["prompts"] == {
        "source": "./rows/problems.jsonl",
        "problem": "question",
        "answer": "answer",
    }
    assert recipe["data"]["heldout"]["answer"] == "final_answer" and recipe["eval"]["benches"] == [
        "heldout"
    ]
    assert text.count("#") > 10

    (tmp_path / "mine.yaml").unlink()
    rlsp("init", "mine.yaml", "--model", "org/model", "--data", "rows", "--cpu", cwd=tmp_path)
    assert (tmp_path / "mine.yaml").read_text() == text
    done = rlsp(
        "init", "mine.yaml", "--model", "m", "--data", "rows", "--cpu", cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and "mine.yaml: exists already" in done.stderr
    assert (tmp_path / "mine.yaml").read_text() == text


def test_a_file_of_problems_alone_is_trained_on_by_ppo(tmp_path: Path) -> None:
    write(tmp_path / "my problems.jsonl", PROBLEMS)
    done = rlsp(
        "init", "--model", "org/model", "--data", "my problems.jsonl", "--gpu", cwd=tmp_path
    )
    assert "recipe.yaml: ok (ppo on local)" in done.stdout
    recipe = YAML(typ="safe").load((tmp_path / "recipe.yaml").read_text())
    assert recipe["data"]["prompts"]["source"] == "./my problems.jsonl" and recipe["cluster"] == {
        "gpus_per_node": 1
    }


@pytest.mark.parametrize(
    ("rows", "answers", "code", "words"),
    [
        ([], ["org/model", "rows", "n"], 2, "rows: no data to train on; expected traces.jsonl"),
        (
            [{"text": "1 + 1"}],
            ["org/model", "rows", "n"],
            3,
            "expected a column problem, question or prompt, found text",
        ),
        (PROBLEMS, ["org/model"], 2, "no answer; give --data"),
    ],
)
def test_what_cannot_become_a_recipe_is_refused_and_nothing_is_written(
    rows: list[dict[str, str]], answers: list[str], code: int, words: str, tmp_path: Path
) -> None:
    if rows:
        write(tmp_path / "rows" / "problems.jsonl", rows)
    done = asked(*answers, cwd=tmp_path)
    assert done.returncode == code and words in done.stderr
    assert not (tmp_path / "mine.yaml").exists()
