"""`rlsp eval eval.strategies=[search]`: beside votes at equal tokens, killed and resumed, and told what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import rlsp
from tests.openai_server import Reply, Server, chat, serving

BENCH = """\
name: sums
description: Sums that the test's server knows.
problems: {problems}
source: ./sums.jsonl
prompt: {{template: "{{problem}}", origin: ours}}
verifier: {{use: exact_match}}
sampling: {{samples: 8, temperature: 0.7, top_p: 1.0, max_new_tokens: 64, origin: ours}}
"""

SCORER = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def sums(sample: Sample, steps: Sequence[str], *, blind: bool = False) -> list[float | None]:
    """Whether each sum is right; nothing for a step without one."""
    return [None if blind else _right(step) for step in steps]


def _right(step: str) -> float:
    left, _, right = step.partition("=")
    a, _, b = left.partition("+")
    return float(int(a) + int(b) == int(right)) if right else 0.5
'''


def folder_of(path: Path, problems: int) -> Path:
    """A folder with the bench and the scorer."""
    rows = [{"id": str(n), "problem": f"1+{n}", "answer": str(n + 1)} for n in range(problems)]
    (path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "sums.yaml").write_text(BENCH.format(problems=problems))
    (path / "sums.py").write_text(SCORER)
    return path


def thinking(body: dict[str, Any]) -> Reply:
    """First a sum, right for every third seed, and then what came out of it; a line is 4 tokens."""
    *_, asked = (turn["content"] for turn in body["messages"] if turn["role"] == "user")
    said = body["messages"][-1]["content"] if body["messages"][-1]["role"] == "assistant" else ""
    a, b = map(int, asked.split("+"))
    found = int(said.rpartition("=")[2]) if said else a + b + body["seed"] % 3
    first, last = f"{asked}={found}\n", f"So \\boxed{{{found}}}"

    if "stop" not in body:
        return _reply(first + last, 8, None)
    return _reply(last, 4, None) if said else _reply(first, 4, "\n")


def _reply(text: str, tokens: int, stop: str | None) -> Reply:
    status, headers, reply = chat(text, stop_reason=stop)
    return status, headers, {**reply, "usage": {"completion_tokens": tokens}}


def arguments(server: Server, *more: str) -> list[str]:
    return [
        "eval", "m", "--url", server.url, "--bench", "./sums.yaml", "--out", "run",
        "eval.strategies=[search,self_consistency]",
        "eval.search={use: beam, beams: 1, children: 4, scorer: {use: ./sums.py:sums}}", *more,
    ]  # fmt: skip


@pytest.mark.integration
def test_search_is_compared_with_a_vote_at_equal_tokens(tmp_path: Path) -> None:
    folder_of(tmp_path, 30)
    with serving(thinking) as server:
        done = rlsp(*arguments(server, "--json"), cwd=tmp_path)
        card = json.loads(done.stdout)["data"]["benches"]["sums"]
        rows = {(row["strategy"], row["selection"]): row for row in card["strategies"]["rows"]}

        # Four sums, then four times the box of the best: 32 tokens, as many as four whole responses.
        search, vote = rows["search", "all"], rows["self_consistency", "equal tokens"]
        assert search["tokens"] == search["tokens_policy"] == vote["tokens"] == 32
        assert vote["responses"] == 4 and card["strategies"]["one_answer"]["kind"] == "search"
        # One of four sums is right with the chance 1 - (2/3)^4 = .80; a vote is no better than one.
        assert search["accuracy"]["value"] > vote["accuracy"]["value"] + 0.2
        assert search["minus"] == "self_consistency" and search["difference"]["low"] > 0
        assert search["interval"] == [search["accuracy"]["low"], search["accuracy"]["high"]]

        trees = (tmp_path / "run/eval/base/sums/trees.jsonl").read_text().splitlines()
        kept = [json.loads(line) for line in trees]
        assert sum("text" in row for row in kept) == 30 * 8
        assert sum("score" in row for row in kept) == 30 * 8
        assert [row["end"] for row in kept if "end" in row] == ["policy"] * 30

        again = rlsp(
            *arguments(server, "eval.search.children=3", "--resume"), cwd=tmp_path, check=False
        )
        assert again.returncode != 0 and "children" in again.stderr


@pytest.mark.integration
def test_a_killed_search_asks_for_nothing_twice(tmp_path: Path) -> None:
    folder_of(tmp_path, 40)
    with serving(thinking, seconds=0.02) as server:
        command = [sys.executable, "-m", "rlsp_cli", *arguments(server, "eval.batch=4")]
        for many, more in ((450, []), (600, ["--resume"])):
            _kill_when(server, many, [*command, *more], tmp_path)
        done = rlsp(*arguments(server, "eval.batch=4", "--resume", "--json"), cwd=tmp_path)

    card = json.loads(done.stdout)["data"]["benches"]["sums"]
    assert {row["strategy"]: row["tokens"] for row in card["strategies"]["rows"]}["search"] == 32
    asked = Counter((one["seed"], str(one["messages"])) for one in server.asked)
    assert len(asked) == 40 * (1 + 8 + 8)
    assert sum(asked.values()) - len(asked) <= 2 * 4  # at most what was under way at each kill


def _kill_when(server: Server, many: int, command: list[str], folder: Path) -> None:
    quiet = subprocess.DEVNULL
    running = subprocess.Popen(command, cwd=folder, stderr=quiet, stdout=quiet)
    while len(server.asked) < many and running.poll() is None:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["eval.search.budget=16"], 0, "30 of 30 problems: 16 tokens reached no whole response"),
        (["eval.search.scorer.blind=true"], 0, "the scorer gave no node a score (4 abstain)"),
        (["eval.search.use=deep"], 3, "unknown search 'deep'"),
        (["eval.search.width=3"], 3, 'unknown option "width" of beam'),
        (["eval.search.scorer.blindly=true"], 3, 'unknown option "blindly"'),
        (["eval.search.steps.by=numbered"], 3, "eval.search.steps.by"),
        (["eval.strategies=[self_consistency]"], 3, "search is for the strategy search"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    more: list[str], code: int, words: str, tmp_path: Path
) -> None:
    folder_of(tmp_path, 30)
    with serving(thinking) as server:
        done = rlsp(*arguments(server, *more), cwd=tmp_path, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr or words in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_a_server_that_cannot_continue_a_response_is_told_and_what_was_drawn_stays(
    tmp_path: Path,
) -> None:
    folder_of(tmp_path, 3)

    def cannot(body: dict[str, Any]) -> Reply:
        status, headers, reply = thinking({key: body[key] for key in body if key != "stop"})
        del reply["choices"][0]["stop_reason"]
        return status, headers, reply

    with serving(cannot) as server:
        done = rlsp(*arguments(server), cwd=tmp_path, check=False)
    assert done.returncode == 4 and "says neither stop_reason nor matched_stop" in done.stderr
    assert "Traceback" not in done.stderr
    kept = [*(tmp_path / "run/eval/base/sums").glob("*.jsonl")]
    rows = {line for file in kept for line in file.read_text().splitlines()}
    assert len(rows) >= 3 * 9  # what needed no search
