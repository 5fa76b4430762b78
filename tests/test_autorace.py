"""AutoRace: criteria drawn from wrong responses, and verdicts by them."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import DataError, PluginError, UsageError
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards import Sample
from rlsp_cli.rewards.models import Address
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Score
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.stream import append_rows
from rlsp_cli.traces import CriteriaJob, write_criteria
from tests.conftest import rlsp
from tests.openai_server import Reply, Server, chat, serving


def of_wrong(body: dict[str, Any]) -> Reply:
    asked = body["messages"][-1]["content"]
    if "Write criteria" in asked:
        assert "- It adds\nwrongly." not in asked and "- It adds wrongly." in asked
        return chat("<think>x</think>1. Every sum is right.\n\n- It answers.\n3) Third.")
    assert "The right answer: 4" in asked and "A wrong solution:\nfive" in asked
    return chat("It adds\nwrongly.")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    wrong = {"prompt": "2 + {2}?", "response": "five", "reference": "4"}
    rows: list[dict[str, Any]] = [
        {**wrong, "correctness": {"outcome": "value", "value": 0.0}},
        {**wrong, "correct": False},
        {**wrong, "response": "four", "correct": True},
        {**wrong, "response": "timed out", "correctness": {"outcome": "timeout", "value": None}},
        {"prompt": "x", "response": "no reference", "correct": False},
    ]
    append_rows(tmp_path / "samples.jsonl", rows)
    return tmp_path / "samples.jsonl"


def job(samples: Path, server: Server, **more: int) -> CriteriaJob:
    return CriteriaJob(samples, "m", server.url, samples.with_name("criteria.txt"), **more)


def test_criteria_are_drawn_from_wrong_responses_alone(samples: Path) -> None:
    with serving(of_wrong) as server:
        asked = job(samples, server, criteria=2)
        assert write_criteria(asked).to_json() == {"responses": 2, "criteria": 2}
        assert asked.out.read_text() == "Every sum is right.\nIt answers.\n"
        assert len(server.asked) == 3 and not [*asked.drafts.glob("*.jsonl")]

        with pytest.raises(UsageError, match="may have been edited"):
            write_criteria(asked)


def test_replies_are_kept_when_there_are_no_criteria(samples: Path) -> None:
    with serving(lambda body: chat("<think>all of it</think>")) as server:
        asked = job(samples, server, responses=1)
        for _ in range(2):
            with pytest.raises(DataError, match="the reply has no criteria"):
                write_criteria(asked)
        assert len(server.asked) == 2


def test_without_a_wrong_response_there_is_nothing_to_ask(tmp_path: Path) -> None:
    append_rows(tmp_path / "s.jsonl", [{"response": "x", "reference": "1", "correct": True}])
    with pytest.raises(DataError, match="no wrong response with a reference; rows need"):
        write_criteria(CriteriaJob(tmp_path / "s.jsonl", "m", None, tmp_path / "c.txt"))


def judged(server: Server, criteria: Path, responses: list[str]) -> list[Score]:
    use = {"use": "autorace", "model": "judge", "criteria": str(criteria)}
    reward = {"correctness": {"use": "exact_match"}, "exploration": use, "workers": 1}
    models = {"judge": {"url": server.url}}
    given = {"name": "x", "models": models, "reward": reward}
    recipe = resolve_recipe(given, plugins=resolve_options)

    with Scorer(recipe.reward, (), {"judge": Address(server.url, "m")}) as scorer:
        scores = scorer.score([Sample("2 + 2?", text, "4") for text in responses], 0.5)
    return [score.exploration[0] for score in scores]


def test_a_judge_decides_by_the_criteria_and_is_not_talked_into_a_verdict(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("Every sum is {right}.\n")
    replies = {
        "good": "1. holds.\nCORRECT",
        "bad": "1. CORRECT so far.\nCORRECT\nBut:\n**INCORRECT**.",
        "unclear": "It is correct, I think.",
    }

    def verdict(body: dict[str, Any]) -> Reply:
        system, user = (message["content"] for message in body["messages"])
        assert "criteria:\nEvery sum is {right}.\n" in system and "2 + 2?" in user
        assert user.count("<<<") == 1
        return chat(next(reply for name, reply in replies.items() if name in user))

    with serving(verdict) as server:
        good, bad, unclear, empty = judged(server, tmp_path / "c.txt", [*replies, " "])
    assert (good.value, bad.value) == (1.0, 0.0) and good.tokens > 0
    assert unclear.outcome == "error" and "expected CORRECT or INCORRECT" in str(unclear.reason)
    assert empty.outcome == "abstain"


def test_a_missing_file_is_said_before_anything_is_scored(tmp_path: Path) -> None:
    with (
        serving(of_wrong) as server,
        pytest.raises(PluginError, match=r"c.txt: no such file; `rlsp data criteria` writes one"),
    ):
        judged(server, tmp_path / "c.txt", ["x"])


@pytest.mark.integration
def test_the_command_writes_criteria(samples: Path, tmp_path: Path) -> None:
    with serving(of_wrong) as server:
        done = rlsp(
            *("data", "criteria", "samples.jsonl", "--model", "m", "--url", server.url),
            *("--out", "c.txt", "--json"),
            cwd=tmp_path,
        )
    assert json.loads(done.stdout)["data"] == {"responses": 2, "criteria": 3}
    assert (tmp_path / "c.txt").read_text().endswith("Third.\n")
