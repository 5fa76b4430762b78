"""What plugins, clients and files do to scoring that nobody means to do: each costs itself, never another sample."""

from collections.abc import Iterator, Sequence

import pytest

from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.process import Call, Use
from rlsp_cli.rewards.sample import Sample, Score

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
    return [score for (score,) in pool.map([Call(use, (Sample("", response),)) for response in responses])]


def values(pool: Pool, use: Use, *responses: str) -> list[float | None]:
    return [score.value for score in scored(pool, use, responses)]


@pytest.mark.parametrize("act", ["fork", "forge", "chatter", "later", "limit", "leak", "wander", "kill"])
def test_an_odd_sample_shifts_and_spoils_no_other_verdict(pool: Pool, use: Use, act: str) -> None:
    after = ["good", "bad", "sleep good", "good", "bad", "good"]
    assert values(pool, use, "good", act, *after)[2:] == [float(word.endswith("good")) for word in after]


def test_an_answer_that_names_no_request_is_nobodys(pool: Pool, use: Use) -> None:
    (score,) = scored(pool, use, ["forge"])
    assert score.outcome == "error" and "no answer" in (score.reason or "")


def test_a_sample_whose_processes_are_killed_ends_after_a_few(pool: Pool, use: Use) -> None:
    first = set(pool.pids())
    (score,) = scored(pool, use, ["kill"])
    assert score.outcome == "error" and "SIGKILL" in (score.reason or "")
    assert len(set(pool.pids()) - first) <= 4


def test_a_process_that_closes_its_pipes_and_lives_on_ends_at_the_deadline(use: Use) -> None:
    with Pool([use], count=1, timeout_s=1.0, memory_gb=1.0) as pool:
        assert [score.outcome for score in scored(pool, use, ["close", "good"])] == ["timeout", "value"]


def test_errors_of_the_system_in_a_row_replace_the_process(pool: Pool, use: Use) -> None:
    assert values(pool, use, "good") == [1.0]
    before = set(pool.pids())
    assert {score.outcome for score in scored(pool, use, ["missing"] * 12)} == {"error"}
    assert not before & set(pool.pids())


def test_a_plugins_message_is_cut(pool: Pool, use: Use) -> None:
    (score,) = scored(pool, use, ["long"])
    assert len(score.reason or "") < 3000
