"""The reward service in a process of its own, asked over HTTP as a trainer would."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.service.gather import Gatherer

pytestmark = pytest.mark.integration

PLUGINS = """
import time
from collections.abc import Sequence
from rlsp_cli.rewards import Sample, exploration_reward, step_scorer

@step_scorer
def short(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    return [1 / len(step) for step in steps]

@exploration_reward
def size(sample: Sample) -> float:
    if "fail" in sample.response:
        raise ValueError("told to fail")
    if "slow" in sample.response:
        time.sleep(1.0)
    return len(sample.response) / 100

@exploration_reward
def rank(group: Sequence[Sample]) -> list[float]:
    return [float(len(group))] * len(group)
"""
GATE = """
import time
from pathlib import Path
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def gate(sample: Sample) -> float:
    while not Path(sample.response).exists():
        time.sleep(0.01)
    return 1.0
"""
RECIPE = """
schema_version: 1
name: served
data: {prompts: {source: task:pair_sum}}
model: {from_scratch: {}}
reward:
  alpha: 0.8
  correctness: {use: exact_match}
  exploration: {use: ./mine.py:size}
  workers: 2
"""


@contextmanager
def serving(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[tuple[str, Any]]:
    """The service's address, and its process."""
    (folder / "mine.py").write_text(PLUGINS)
    (folder / "served.yaml").write_text(RECIPE)
    command = [
        sys.executable,
        "-m",
        "rlsp_cli",
        "reward",
        "serve",
        str(folder / "served.yaml"),
        *arguments,
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        assert "listening on" in first, first + process.stderr.read()
        yield first.split()[-1], process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ask(url: str, body: Any, **headers: str) -> tuple[int, Any, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response), response.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


RIGHT = "Which?Take 3. \\boxed{3 + 7}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("service")) as (url, _):
        yield url


def test_openrlhf_is_answered_in_the_shape_that_it_asks_in(service: str) -> None:
    response = RIGHT.removeprefix("Which?")
    reward = 0.8 + 0.2 * len(response) / 100
    for path in ("/", "/get_reward"):
        status, scalar, _ = ask(
            service + path, {"query": RIGHT, "prompts": "Which?", "labels": "3 + 7"}
        )
        assert (
            status == 200 and scalar["rewards"] == pytest.approx(reward) and scalar["scores"] == 1.0
        )
        body = {"query": [RIGHT, "Which?no"], "prompts": ["Which?"] * 2, "labels": ["3 + 7"] * 2}
        status, batch, _ = ask(service + path, body)
        assert status == 200 and batch["rewards"] == pytest.approx([reward, 0.2 * 2 / 100])
        assert batch["scores"] == [1.0, 0.0] and batch["extra_logs"]["rlsp_size"] == [
            len(response) / 100,
            0.02,
        ]
        assert set(scalar["extra_logs"]) == set(batch["extra_logs"])
        _, one, _ = ask(
            service + path, {"query": [RIGHT], "prompts": ["Which?"], "labels": ["3 + 7"]}
        )
        assert one["rewards"] == [scalar["rewards"]] and one["extra_logs"] == scalar["extra_logs"]


def test_the_aggregate_of_a_step_scorer_is_a_reward_like_others(tmp_path: Path) -> None:
    use = f"{{use: '{tmp_path}/mine.py:short', steps: {{by: sentences, aggregate: min}}}}"
    with serving(tmp_path, f"reward.exploration={use}") as (url, _):
        body = {"query": "Which?No. Yes. \\boxed{1}", "prompts": "Which?", "labels": "1"}
        status, reply, _ = ask(url, body)
    assert status == 200 and reply["extra_logs"]["rlsp_short"] == 1 / 9
    assert reply["rewards"] == pytest.approx(0.8 + 0.2 / 9)


def test_the_prompt_is_what_the_client_says_whatever_is_in_it(service: str) -> None:
    prompt = "user: say \\boxed{1} assistant: user:"
    status, reply, _ = ask(
        service, {"query": f"<bos>{prompt}\\boxed{{2}}", "prompts": prompt, "labels": "2"}
    )
    assert status == 200 and reply["scores"] == 1.0
    status, reply, _ = ask(service, {"query": "another text", "prompts": prompt, "labels": "2"})
    assert status == 422 and "does not contain its prompt" in reply["error"]


def test_the_native_endpoint_gives_every_component_with_its_reason(service: str) -> None:
    rows = [
        {"id": "a", "response": "\\boxed{4}", "reference": "4"},
        {"id": "b", "response": "fail", "reference": "4"},
    ]
    status, reply, _ = ask(f"{service}/score", {"samples": rows})
    assert status == 200 and reply["schema"] == "rlsp.scores/1"
    first, second = reply["data"]
    assert first["reward"] == pytest.approx(0.8 + 0.2 * 0.09) and second["reward"] is None
    assert [part["outcome"] for part in second["components"]] == ["value", "error"]
    assert "told to fail" in second["components"][1]["reason"]


def test_an_unscored_sample_is_flagged_and_counts_as_the_mean_because_the_protocol_has_no_none(
    service: str,
) -> None:
    ask(service, {"query": RIGHT, "prompts": "Which?", "labels": "3 + 7"})
    _, reply, _ = ask(service, {"query": "p fail", "prompts": "p", "labels": "4"})
    assert reply["extra_logs"]["rlsp_unscored"] == 1.0 and reply["rewards"] != 0.0
    assert all(
        isinstance(value, float) for value in [reply["rewards"], *reply["extra_logs"].values()]
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body is not JSON"),
        ([], "expected an object"),
        ({"query": "x"}, "expected an object with query, prompts and labels"),
        ({"query": ["x", "y"], "prompts": ["x"], "labels": ["1"]}, "same length"),
        ({"query": [1], "prompts": ["x"], "labels": ["1"]}, "query: expected text"),
        ({"query": [], "prompts": [], "labels": []}, "query: expected text"),
    ],
)
def test_a_malformed_request_is_told_and_never_scored(service: str, body: Any, words: str) -> None:
    status, reply, _ = ask(service, body)
    assert status == 422 and words in reply["error"]
    status, reply, _ = ask(f"{service}/score", {"samples": [{"id": 1}]})
    assert status == 422 and "sample 0: no key 'response'" in reply["error"]


def test_health_and_metrics(service: str) -> None:
    assert json.loads(get(f"{service}/health")[1])["state"] == "ok"
    status, text = get(f"{service}/metrics")
    assert status == 200 and 'rlsp_outcomes_total{component="exact_match",outcome="value"}' in text
    assert "rlsp_request_seconds_count" in text


def test_what_comes_together_goes_on_in_one_batch_and_nobody_in_it_waits_for_the_slowest(
    tmp_path: Path,
) -> None:
    (tmp_path / "gate.py").write_text(GATE)
    gate = tmp_path / "open"
    reward = Reward.model_validate(
        {
            "correctness": {"use": "exact_match"},
            "exploration": {"use": f"{tmp_path}/gate.py:gate"},
            "timeout_s": 60,
        }
    )

    async def ask_all(gatherer: Gatherer) -> None:
        slow, *others = [
            asyncio.create_task(gatherer.score([Sample(prompt="", response=text, reference="1")]))
            for text in [str(gate), *["/"] * 20]
        ]
        await asyncio.gather(*others)
        assert gatherer.batches == 1 and gatherer.in_work == 1 and not slow.done()
        gate.touch()
        assert (await slow)[0].score.reward == pytest.approx(0.2)

    with Scorer(reward) as scorer:
        gatherer = Gatherer(
            lambda samples: scorer.submit(samples, [0.8] * len(samples)), 1, 60.0, 100
        )
        asyncio.run(ask_all(gatherer))
        gatherer.close()


def test_a_request_hears_what_went_wrong_in_its_batch() -> None:
    def refuse(_: Any) -> Any:
        raise PluginError("no such thing")

    gatherer = Gatherer(refuse, 1, 60.0, 100)
    with pytest.raises(PluginError, match="no such thing"):
        asyncio.run(gatherer.score([Sample(prompt="", response="", reference="1")]))
    gatherer.close()
    assert gatherer.in_work == 0


def test_requests_beyond_the_backlog_are_told_to_come_back(tmp_path: Path) -> None:
    slow = {"query": "p slow", "prompts": "p", "labels": "4"}
    with serving(tmp_path, "--backlog", "4") as (url, _), ThreadPoolExecutor(12) as threads:
        replies = list(threads.map(lambda _: ask(url, slow), range(12)))
        statuses = [status for status, _, _ in replies]
        assert set(statuses) == {200, 503} and statuses.count(200) >= 4
        assert all(headers["Retry-After"] == "1" for status, _, headers in replies if status == 503)
        assert ask(url, slow)[0] == 200


def test_sigterm_answers_what_was_taken_in(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process):
        ask(url, {"query": "p", "prompts": "p", "labels": "4"})
        replies: list[Any] = []
        slow = {"query": "p slow", "prompts": "p", "labels": "4"}
        thread = threading.Thread(target=lambda: replies.append(ask(url, slow)))
        thread.start()
        while json.loads(get(f"{url}/health")[1])["in_work"] == 0:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        thread.join()
        assert replies[0][0] == 200
        assert process.wait(30) in (0, 143, -signal.SIGTERM)


def test_strangers_need_a_token(tmp_path: Path) -> None:
    body = {"query": "p", "prompts": "p", "labels": "4"}
    with serving(tmp_path, "--host", "0.0.0.0", env={"RLSP_REWARD_TOKEN": "s3cret"}) as (
        anywhere,
        _,
    ):
        url = anywhere.replace("0.0.0.0", "127.0.0.1")
        assert (
            ask(url, body)[0]
            == ask(url, body, Authorization="Bearer wrong")[0]
            == get(f"{url}/metrics")[0]
            == 401
        )
        assert (
            ask(url, body, Authorization="Bearer s3cret")[0] == 200
            and ask(f"{url}/?token=s3cret", body)[0] == 200
        )
        assert get(f"{url}/health")[0] == 200
    command = [
        sys.executable,
        "-m",
        "rlsp_cli",
        "reward",
        "serve",
        str(tmp_path / "served.yaml"),
        "--host",
        "0.0.0.0",
    ]
    environment = {key: value for key, value in os.environ.items() if key != "RLSP_REWARD_TOKEN"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and "set RLSP_REWARD_TOKEN" in done.stderr


def test_failing_rewards_end_the_service_with_exit_code_7(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process):
        rows = [{"id": str(n), "response": "fail", "reference": "4"} for n in range(80)]
        ask(f"{url}/score", {"samples": rows})
        assert process.wait(30) == 7
        text = process.stderr.read()
        assert (
            "80 of 80 responses failed" in text
            and "size error" in text
            and text.count("\n  ") == 10
        )


def test_a_component_that_shall_stop_the_run_stops_the_service_at_once(tmp_path: Path) -> None:
    change = f"reward.exploration={{use: {tmp_path / 'mine.py'}:size, on_error: stop}}"
    with serving(tmp_path, change) as (url, process):
        assert ask(url, {"query": "p", "prompts": "p", "labels": "4"})[0] == 200
        ask(url, {"query": "p fail", "prompts": "p", "labels": "4"})
        assert process.wait(30) == 7
        assert "as the recipe says `stop`" in process.stderr.read()


def test_a_group_reward_waits_for_the_samples_of_its_prompt_but_not_for_ever(
    tmp_path: Path,
) -> None:
    changes = ["reward.exploration={use: ./mine.py:rank}", "ppo={samples_per_prompt: 4, steps: 1}"]
    changes[0] = changes[0].replace("./mine.py", str(tmp_path / "mine.py"))
    with (
        serving(tmp_path, *changes, "--group-wait", "2") as (url, _),
        ThreadPoolExecutor(9) as threads,
    ):
        bodies = [
            {"query": f"{p} r", "prompts": p, "labels": "4"}
            for p in ("a", "a", "b", "a", "b", "b", "a", "b", "c")
        ]
        replies = list(
            threads.map(lambda body: ask(url, body)[1]["extra_logs"]["rlsp_rank"], bodies)
        )
        assert replies == [4.0] * 8 + [1.0]
        assert "rlsp_groups_incomplete 1.0" in get(f"{url}/metrics")[1]
