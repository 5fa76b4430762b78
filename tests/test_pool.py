"""Hostile plugins in real processes: each costs its own sample, never the others."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.pool import Pool, Use
from rlsp_cli.rewards.sample import Sample, Score

HOSTILE = """
import os, sys, time
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def act(sample: Sample) -> float | None:
    match sample.response:
        case "hang":
            while True: pass
        case "hold the lock": return float(9 ** 9 ** 9 ** 9)
        case "exit": os._exit(3)
        case "crash": os.kill(os.getpid(), 11)
        case "memory": return float(len("x" * 2**40))
        case "raise": raise KeyError("no such thing")
        case "nan": return float("nan")
        case "text": return "0.5"
        case "none": return None
        case "print": print("hello"); print("world", file=sys.stderr)
        case "stop": raise SystemExit(0)
    return 0.5
"""
EXPECTED = {
    "hang": ("timeout", "no result after 1 s"),
    "hold the lock": ("timeout", "no result after 1 s"),
    "exit": ("error", "the plugin ended its process (exit code 3)"),
    "crash": ("error", "the plugin ended its process (signal 11)"),
    "memory": ("error", "MemoryError"),
    "raise": ("error", "KeyError: 'no such thing' (hostile.py:14)"),
    "nan": ("error", "returned nan"),
    "text": ("error", "returned '0.5'"),
    "none": ("abstain", None),
    "print": ("value", None),
    "stop": ("error", "the plugin ended its process"),
    "fine": ("value", None),
}


@pytest.fixture(scope="module")
def use(tmp_path_factory: pytest.TempPathFactory) -> Use:
    path = tmp_path_factory.mktemp("plugins") / "hostile.py"
    path.write_text(HOSTILE)
    return Use("exploration_reward", f"{path}:act", {})


@pytest.fixture(scope="module")
def pool(use: Use) -> Iterator[Pool]:
    with Pool([use], count=2, timeout_s=1.0, memory_gb=1.0) as pool:
        yield pool


def sample(response: str) -> Sample:
    return Sample(prompt="", response=response)


def test_every_hostile_sample_has_its_own_outcome_and_the_others_are_scored(pool: Pool, use: Use) -> None:
    words = [word for hostile in EXPECTED for word in (hostile, "fine")]
    scores = pool.map([(use, sample(word)) for word in words])
    for word, score in zip(words, scores, strict=True):
        outcome, reason = EXPECTED[word]
        assert score.outcome == outcome, (word, score)
        assert (score.value is not None) == (outcome == "value")
        assert (reason or "") in (score.reason or "")
        assert score.component == "act" and score.ms >= 0


def test_the_pool_works_from_many_threads_and_from_an_event_loop(pool: Pool, use: Use) -> None:
    results: list[list[Score]] = []
    threads = [threading.Thread(target=lambda: results.append(pool.map([(use, sample("fine"))] * 5))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def scored() -> list[Score]:
        return await asyncio.to_thread(pool.map, [(use, sample("fine"))] * 3)

    results.append(asyncio.run(scored()))
    assert [score.value for result in results for score in result] == [0.5] * 33


def test_closing_leaves_no_process_behind(use: Use) -> None:
    with Pool([use], count=2, timeout_s=1.0, memory_gb=1.0) as pool:
        pool.map([(use, sample("fine"))] * 8)
        workers = list(pool._workers.queue)
        pids = [worker._process.pid for worker in workers if worker._process]
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_plugin_that_does_not_exist_is_told_when_scoring_starts() -> None:
    missing = Use("verifier", "no_such_verifier", {})
    with Pool([missing], 1, 1.0, 1.0) as pool, pytest.raises(PluginError, match="unknown verifier 'no_such_verifier'"):
        pool.map([(missing, sample("x"))])


def test_a_worker_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "spy.py"
    path.write_text(
        "import sys\nfrom rlsp_cli.rewards import Sample, exploration_reward\n\n@exploration_reward\n"
        "def spy(sample: Sample) -> float:\n    return float('torch' in sys.modules)\n"
    )
    spy = Use("exploration_reward", f"{path}:spy", {})
    with Pool([spy], 1, 5.0, 2.0) as pool:
        assert pool.map([(spy, sample("x"))])[0].value == 0.0


def test_a_worker_in_an_endless_loop_dies_with_its_parent(use: Use, tmp_path: Path) -> None:
    code = (
        "import os, sys, time, threading\n"
        "from rlsp_cli.rewards.pool import Pool, Use\nfrom rlsp_cli.rewards.sample import Sample\n"
        f"use = Use('exploration_reward', {use.reference!r}, {{}})\n"
        "pool = Pool([use], 1, 600.0, 1.0)\n"
        "pool.map([(use, Sample(prompt='', response='fine'))])\n"
        "worker = pool._workers.queue[0]._process.pid\n"
        "threading.Thread(target=pool.map, args=([(use, Sample(prompt='', response='hang'))],), daemon=True).start()\n"
        "time.sleep(0.5)\nprint(worker, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    worker = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists() or "State:\tZ" in Path(f"/proc/{worker}/status").read_text():
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} lives on")


def test_a_file_of_the_user_does_not_shadow_the_library_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "math_verify.py").write_text("raise RuntimeError('not the library')\n")
    monkeypatch.chdir(tmp_path)
    verifier = Use("verifier", "math_verify", {})
    with Pool([verifier], 1, 20.0, 2.0) as pool:
        (score,) = pool.map([(verifier, Sample(prompt="", response="\\boxed{0.5}", reference="1/2"))])
    assert score.value == 1.0, score
