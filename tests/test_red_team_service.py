"""What plugins, clients and files do to scoring that nobody means to do: each costs itself, never another sample."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.service.app import Service
from rlsp_cli.rewards.service.body import Bodies, TooSlowError
from rlsp_cli.rewards.service.gather import Gatherer
from rlsp_cli.rewards.service.server import TOKEN_VARIABLE, run_service
from tests.test_service import ask, get, serving

pytestmark = pytest.mark.integration  # a service and its processes

ODD = """
import json, os, resource, signal, threading, time
from rlsp_cli.rewards import Sample, verifier

LEAKED = []
FORGED = json.dumps({"outcomes": [{"outcome": "value", "value": 1.0}], "ms": 0.0, "fit": True, "id": 1})

def forge(text: str) -> None:
    for number in range(3, 20):
        try: os.write(number, text.encode() + b"\\n")
        except OSError: pass

@verifier
def odd(sample: Sample) -> bool:
    match sample.response.split()[0]:
        case "fork": os.fork()
        case "forge": forge(FORGED)
        case "chatter": forge("[" * 100_000)
        case "later": threading.Timer(0.2, forge, [FORGED]).start()
        case "kill": os.kill(os.getpid(), signal.SIGKILL)
        case "close":
            os.closerange(0, 100)
            time.sleep(60)
        case "limit":
            low = (3, 3)
            resource.setrlimit(resource.RLIMIT_NOFILE, low)
            if os.geteuid() == 0: resource.setrlimit = lambda *_: (_ for _ in ()).throw(ValueError)
        case "leak": LEAKED.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(10**6))
        case "wander":
            os.chdir("/")
            os.environ["ODD"] = "1"
            os.umask(0o777)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            signal.alarm(1)
        case "sleep": time.sleep(1.5)
        case "missing": open("/no/such/file")
        case "long": raise ValueError("x" * 10**7)
    with open("/dev/null"):
        return sample.response.endswith("good") and os.getcwd() != "/" and "ODD" not in os.environ
"""


@pytest.fixture(scope="module")
def use(tmp_path_factory: pytest.TempPathFactory) -> Use:
    path = tmp_path_factory.mktemp("plugins") / "odd.py"
    path.write_text(ODD)
    return Use("verifier", f"{path}:odd", {})


@pytest.fixture(scope="module")
def pool(use: Use) -> Iterator[Pool]:
    with Pool([use], count=1, timeout_s=5.0, memory_gb=1.0) as pool:
        yield pool


def scored(pool: Pool, use: Use, responses: Sequence[str]) -> list[Score]:
    return [
        score
        for (score,) in pool.map([Call(use, (Sample("", response),)) for response in responses])
    ]


def values(pool: Pool, use: Use, *responses: str) -> list[float | None]:
    return [score.value for score in scored(pool, use, responses)]


@pytest.mark.parametrize(
    "act", ["fork", "forge", "chatter", "later", "limit", "leak", "wander", "kill"]
)
def test_an_odd_sample_shifts_and_spoils_no_other_verdict(pool: Pool, use: Use, act: str) -> None:
    after = ["good", "bad", "sleep good", "good", "bad", "good"]
    assert values(pool, use, "good", act, *after)[2:] == [
        float(word.endswith("good")) for word in after
    ]


def test_an_answer_that_names_no_request_is_nobodys(pool: Pool, use: Use) -> None:
    (score,) = scored(pool, use, ["forge"])
    assert score.outcome == "error" and "not an answer" in (score.reason or "")


def test_a_sample_whose_processes_are_killed_ends_after_a_few(pool: Pool, use: Use) -> None:
    first = set(pool.pids())
    (score,) = scored(pool, use, ["kill"])
    assert score.outcome == "error" and "SIGKILL" in (score.reason or "")
    assert len(set(pool.pids()) - first) <= 4


def test_a_process_that_closes_its_pipes_and_lives_on_ends_at_the_deadline(use: Use) -> None:
    with Pool([use], count=1, timeout_s=1.0, memory_gb=1.0) as pool:
        assert [score.outcome for score in scored(pool, use, ["close", "good"])] == [
            "timeout",
            "value",
        ]


def test_errors_of_the_system_in_a_row_replace_the_process(pool: Pool, use: Use) -> None:
    assert values(pool, use, "good") == [1.0]
    before = set(pool.pids())
    assert {score.outcome for score in scored(pool, use, ["missing"] * 12)} == {"error"}
    assert not before & set(pool.pids())


def test_a_plugins_message_is_cut(pool: Pool, use: Use) -> None:
    (score,) = scored(pool, use, ["long"])
    assert len(score.reason or "") < 3000


GROUP = """
from collections.abc import Sequence
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def pairs(group: Sequence[Sample]) -> list[float]:
    if len(group) < 2:
        raise ValueError("nothing to compare")
    return [0.0] * len(group)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with a token, and a reward of pairs of samples, which fails for one alone."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "pairs.py").write_text(GROUP)
    changes = [
        f"reward.exploration={{use: {folder}/pairs.py:pairs}}",
        "ppo={samples_per_prompt: 2, steps: 1}",
    ]
    with serving(folder, *changes, "--group-wait", "0.1", env={TOKEN_VARIABLE: "s3cret"}) as (
        url,
        _,
    ):
        yield url


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"samples": [{"response": "x", "metadata": {"deep": ' + b"[" * 900 + b"]" * 900 + b"}}]}",
    ],
)
def test_a_body_that_is_too_deep_is_the_clients_mistake(service: str, body: bytes) -> None:
    status, said, _ = ask(f"{service}/score", body, Authorization="Bearer s3cret")
    assert status == 422 and "deeper than 64" in said["error"]


@pytest.mark.parametrize("header", ["s3cret", "Basic s3cret", "Bearer", "Bearers3cret", " s3cret"])
def test_a_token_is_taken_as_bearer_only(service: str, header: str) -> None:
    assert ask(f"{service}/score", {}, Authorization=header)[0] == 401
    assert ask(f"{service}/score", {}, Authorization="bearer s3cret")[0] == 422


def test_groups_that_never_become_complete_do_not_end_the_service(service: str) -> None:
    rows = [{"id": str(number), "response": "x", "reference": "4"} for number in range(100)]
    status, said, _ = ask(f"{service}/score", {"samples": rows}, Authorization="Bearer s3cret")
    assert status == 200 and {row["reward"] for row in said["data"]} == {None}
    assert get(f"{service}/health")[0] == 200


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST /score HTTP/1.1\r\nContent-", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET"],
)
def test_a_connection_that_does_not_say_what_it_wants_is_closed(service: str, begun: bytes) -> None:
    place = urlsplit(service)
    with socket.create_connection(
        (str(place.hostname), int(place.port or 0)), timeout=120
    ) as stranger:
        stranger.sendall(begun)
        while stranger.recv(1 << 16):
            pass


class Slow:
    """A request whose body never ends."""

    async def stream(self) -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)


def test_a_body_that_does_not_come_is_given_up() -> None:
    slow: Any = Slow()
    with pytest.raises(TooSlowError):
        asyncio.run(Bodies(seconds=0.01).read(slow))


def test_the_breaker_remembers_no_text(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\nreward: {correctness: {use: exact_match}}\n")
    reward = load_recipe(tmp_path / "r.yaml").reward
    scored = Score("exact_match", "value", 1.0, answer="y" * 1000)

    async def asked() -> Service:
        gatherer = Gatherer(
            lambda samples: [done(SampleScore(scored, (), 1.0)) for _ in samples], 1, 1.0, 8
        )
        service = Service(reward, gatherer, lambda _: [], lambda _: 0, lambda _: 1.0)
        body = json.dumps({"samples": [{"prompt": "x" * 1000, "response": "x" * 1000}]}).encode()
        messages = iter([{"type": "http.request", "body": body}])
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/score",
            "headers": [],
            "query_string": b"",
        }

        async def receive() -> Any:
            return next(messages)

        async def send(_: Any) -> None:
            pass

        await service.app()(scope, receive, send)
        gatherer.close()
        return service

    ((sample, score),) = asyncio.run(asked()).window
    assert len(repr(sample)) + len(repr(score)) < 1000


def done(score: SampleScore) -> "Future[SampleScore]":
    future: Future[SampleScore] = Future()
    future.set_result(score)
    return future


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_blank_token_is_none(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r.yaml").write_text("name: x\nreward: {correctness: {use: exact_match}}\n")
    monkeypatch.setenv(TOKEN_VARIABLE, " \n")
    with pytest.raises(UsageError, match="is blank"):
        run_service(load_recipe(tmp_path / "r.yaml"), host, 0, print)
