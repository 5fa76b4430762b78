"""`rlsp data steps`: what is read and written, and that an interrupted command asks nothing twice."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.runs.stream import append_rows, read_json, read_rows
from rlsp_cli.traces.labels.completions import Drawing
from tests.conftest import rlsp
from tests.openai_server import Reply, Server, chat, serving
from tests.toy_process import PROMPT, ToyProcess, first_slip

pytestmark = pytest.mark.integration

TOY = ToyProcess(length=4, slip=0.2)
RECIPE = """\
name: steps
data: {template: "{problem}\\n"}
models: {prover: {url: URL, id: toy}}
reward: {correctness: {use: ./last_word.py:last_word}, workers: 1}
"""
LAST_WORD = '''
from rlsp_cli.rewards import Sample, verifier


@verifier
def last_word(sample: Sample) -> bool:
    """The last word is the reference."""
    return sample.response.split()[-1] == sample.reference
'''


def toy_reply(body: dict[str, Any]) -> Reply:
    drawing = Drawing(body["n"], body["max_tokens"], body["temperature"], body["seed"])
    drawn = TOY.draw(body["prompt"], drawing)
    choices = [
        {"text": text, "finish_reason": "stop", "token_ids": [1], "index": number}
        for number, text in enumerate(drawn.texts)
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": drawn.tokens}
    return 200, {}, {"choices": choices, "usage": usage}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(toy_reply) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Path:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("URL", server.url))
    (tmp_path / "last_word.py").write_text(LAST_WORD)
    rows = [
        {"id": one.id, "prompt": PROMPT, "response": one.response, "reference": "good"}
        for one in TOY.samples(6, seed=3)
    ]
    append_rows(tmp_path / "s.jsonl", rows)
    return tmp_path


def refused(folder: Path, code: int, *arguments: str) -> str:
    """What a command says that ends with this exit code."""
    done = rlsp(*arguments, cwd=folder, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def words(*more: str) -> list[str]:
    return ["data", "steps", "r.yaml", "--samples", "s.jsonl", "--out", "out.jsonl", *more]


def test_rows_for_a_process_reward_model_and_their_card(folder: Path, server: Server) -> None:
    asked = words("--label", "mc", "--completions", "16", "--merge", "--json")
    made = json.loads(rlsp(*asked, cwd=folder).stdout)["data"]

    rows = list(read_rows(folder / "out.jsonl"))
    assert len(rows) == 12  # a merged row to each
    for row in rows[::2]:
        error = first_slip("\n".join(row["completions"]))
        assert row["labels"] == [error is None or step < error for step in range(4)]
        assert row["prompt"] == PROMPT

    card = read_json(folder / "out.card.json")["data"]
    assert made == card and card["rows"] == 12 and card["questions"] == len(server.asked)
    assert card["settings"]["completions"] == 16 and card["tokens"] > 16 * len(server.asked)
    assert "12 responses" in (folder / "out.card.md").read_text()
    assert not (folder / "out.drafts").exists()

    assert "out.jsonl: exists already" in refused(folder, 2, *asked)


def test_sorm_labels_are_balanced_over_all_responses(folder: Path) -> None:
    made = rlsp(*words("--label", "sorm", "--completions", "16", "--json"), cwd=folder).stdout
    labels = [row["labels"] for row in read_rows(folder / "out.jsonl")]
    for number in range(TOY.length):
        found = [row[number] for row in labels]
        assert found.count(True) == found.count(False)
    assert json.loads(made)["data"]["mean_label"] == 0.5


def test_a_killed_command_asks_nothing_twice(folder: Path) -> None:
    stalls, goes_on = threading.Event(), threading.Event()
    count = 0

    def answer(body: dict[str, Any]) -> Reply:
        nonlocal count
        count += 1
        if count == 4:
            stalls.set()
            goes_on.wait(60)
        return toy_reply(body)

    with serving(answer) as server:
        (folder / "r.yaml").write_text(RECIPE.replace("URL", server.url))
        asked = words("--label", "mc")
        command = [sys.executable, "-m", "rlsp_cli", *asked]
        child = subprocess.Popen(command, cwd=folder)
        assert stalls.wait(60)
        child.kill()
        child.wait()
        goes_on.set()

        rlsp(*asked, cwd=folder)
        times = Counter(body["prompt"] for body in server.asked)
        # Only what was being asked when it was killed is asked again.
        assert sorted(times.values()) == [*[1] * (len(times) - 1), 2]
        assert len(list(read_rows(folder / "out.jsonl"))) == 6


def test_a_model_that_is_gone_stops_the_command_and_loses_nothing(folder: Path) -> None:
    failing = True

    def answer(body: dict[str, Any]) -> Reply:
        if failing and body["prompt"].count("good") > 1:
            return 500, {}, {"error": {"message": "out of memory"}}
        return toy_reply(body)

    with serving(answer) as server:
        (folder / "r.yaml").write_text(RECIPE.replace("URL", server.url))
        stopped = refused(folder, 7, *words("--label", "mc"))
        assert "6 of 6 responses failed" in stopped
        assert "out of memory" in stopped and "s.jsonl:1" in stopped
        assert not (folder / "out.jsonl").exists()

        failing, before = False, {body["prompt"] for body in server.asked}
        known = {prompt for prompt in before if prompt.count("good") <= 1}
        server.asked.clear()
        rlsp(*words("--label", "mc"), cwd=folder)
        assert known and not known & {body["prompt"] for body in server.asked}


def write_judge(folder: Path) -> None:
    (folder / "judge.py").write_text(
        "from collections.abc import Sequence\n\nfrom rlsp_cli.rewards import Sample, step_scorer\n"
        "\n\n@step_scorer\ndef judge(sample: Sample, steps: Sequence[str], *, good: float = 1.0)"
        ' -> list[float | None]:\n    """Whether a step is good."""\n'
        '    return [good if step == "good" else 0.25 for step in steps]\n'
    )


def test_a_judge_is_a_step_scorer_by_name(folder: Path) -> None:
    write_judge(folder)
    judged = ("--label", "judge", "--scorer", "./judge.py:judge", "--option", "good=0.5")
    rlsp(*words(*judged, "--soft"), cwd=folder)
    for row in read_rows(folder / "out.jsonl"):
        assert row["labels"] == [0.5 if step == "good" else 0.25 for step in row["completions"]]

    again = ["consensus.jsonl" if word == "out.jsonl" else word for word in words(*judged[2:])]
    rlsp(*again, "--label", "consensus", "--completions", "16", cwd=folder)
    rows = list(read_rows(folder / "consensus.jsonl"))
    assert len(rows) == 6 and {tuple(row["labels"]).count(False) for row in rows} == {0, 1}


def test_low_steps_are_explained_and_mended_by_a_named_model(folder: Path) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        if "messages" not in body:
            return toy_reply(body)
        return chat("It slips." if len(body["messages"]) == 2 else "good")

    write_judge(folder)
    models = "models: {critic: {url: URL, id: critic}, "
    with serving(answer) as server:
        text = RECIPE.replace("models: {", models).replace("URL", server.url)
        (folder / "r.yaml").write_text(text)
        asked = words("--label", "refine", "--scorer", "./judge.py:judge", "--model", "prover")
        assert "--critic nobody: not among" in refused(folder, 2, *asked, "--critic", "nobody")
        made = rlsp(*asked, "--critic", "critic", "--json", cwd=folder)
        by = Counter(body["model"] for body in server.asked)

    card, rows = json.loads(made.stdout)["data"], list(read_rows(folder / "out.jsonl"))
    wrong = [one for one in TOY.samples(6, seed=3) if not one.correct]
    assert rows and [row["rejected"] for row in rows] == [one.response for one in wrong]
    for row in rows:
        assert row["chosen"].splitlines()[: len(row["labels"])] == ["good"] * len(row["labels"])
        assert row["chosen"].endswith("good") and row["explanation"] == "It slips."
        assert row["labels"] == [step == "good" for step in row["completions"]]
    # Two questions to the critic and one to the prover for each text, beside the step scorer's.
    several = len({row["rejected"] for row in rows})
    assert by == {"critic": 2 * several, "toy": several} and card["questions"] == 4 * several
    assert card["settings"]["critic"] == "critic"


def test_a_file_alone_is_labelled_by_keys(folder: Path) -> None:
    row = {"id": "a", "problem": "2*3+1?", "answer": "7"}
    solutions = ["2*3 = 6\n6+1 = \\boxed{7}", "3*2 = 6\n6-1 = \\boxed{5}"]
    append_rows(folder / "t.jsonl", [{**row, "solution": text} for text in solutions])
    made = rlsp("data", "steps", "t.jsonl", "--label", "partial", "--out", "p.jsonl",
                "reward.correctness.use=exact_match", cwd=folder)  # fmt: skip
    assert [row["labels"] for row in read_rows(folder / "p.jsonl")] == [[True, True], [True]]
    assert "p.jsonl" in made.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--label", "judge"), "which step scorer? name it by --scorer"),
        (("--label", "mc", "--model", "other"), "--model other: not among the recipe's models"),
        (("--label", "binary", "--soft"), "binary tells right from wrong alone"),
        (("--label", "partial", "--option", "x=1"), "an option of which step scorer?"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    folder: Path, more: tuple[str, ...], said: str
) -> None:
    assert said in refused(folder, 2, *words(*more))


def test_a_row_without_a_prompt_is_named(folder: Path) -> None:
    append_rows(folder / "s.jsonl", [{"response": "good"}])
    found = refused(folder, 3, *words("--label", "partial"))
    assert "s.jsonl:7: no prompt and no problem; its columns: response" in found
