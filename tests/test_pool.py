"""Hostile plugins in real processes: each costs its own sample, never the others."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, Score

pytestmark = pytest.mark.integration  # processes that are killed and replaced

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
    "hang": ("timeout", "no result after 5 s"),
    "hold the lock": ("timeout", "no result after 5 s"),
    "exit": ("error", "the plugin ended its process (exit code 3)"),
    "crash": ("error", "the plugin ended its process (SIGSEGV)"),
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
    # On a busy machine a process takes more than a second to end.
    with Pool([use], count=2, timeout_s=5.0, memory_gb=1.0) as pool:
        yield pool


def call(use: Use, *responses: str) -> list[Call]:
    return [Call(use, (Sample(prompt="", response=response),)) for response in responses]


def test_every_hostile_sample_has_its_own_outcome_and_the_others_are_scored(
    pool: Pool, use: Use
) -> None:
    words = [word for hostile in EXPECTED for word in (hostile, "fine")]
    for word, (score,) in zip(words, pool.map(call(use, *words)), strict=True):
        outcome, reason = EXPECTED[word]
        assert score.outcome == outcome, (word, score)
        assert (score.value is not None) == (outcome == "value")
        assert (reason or "") in (score.reason or "")
        assert score.component == "act" and score.ms >= 0


def test_the_pool_works_from_many_threads_and_from_an_event_loop(pool: Pool, use: Use) -> None:
    results: list[list[list[Score]]] = []
    threads = [
        threading.Thread(target=lambda: results.append(pool.map(call(use, "fine") * 5)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def scored() -> list[list[Score]]:
        return await asyncio.to_thread(pool.map, call(use, "fine") * 3)

    results.append(asyncio.run(scored()))
    assert [score.value for result in results for (score,) in result] == [0.5] * 33


def test_closing_leaves_no_process_behind(use: Use) -> None:
    with Pool([use], count=2, timeout_s=1.0, memory_gb=1.0) as pool:
        pool.map(call(use, "fine") * 8)
        pids = pool.pids()
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_plugin_that_does_not_exist_is_told_when_scoring_starts() -> None:
    missing = Use("verifier", "no_such_verifier", {})
    with (
        Pool([missing], 1, 1.0, 1.0) as pool,
        pytest.raises(PluginError, match="unknown verifier 'no_such_verifier'"),
    ):
        pool.map(call(missing, "x"))


def test_a_worker_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "spy.py"
    path.write_text(
        "import sys\nfrom rlsp_cli.rewards import Sample, exploration_reward\n\n@exploration_reward\n"
        "def spy(sample: Sample) -> float:\n    return float('torch' in sys.modules)\n"
    )
    spy = Use("exploration_reward", f"{path}:spy", {})
    with Pool([spy], 1, 5.0, 2.0) as pool:
        assert pool.map(call(spy, "x"))[0][0].value == 0.0


def test_a_worker_in_an_endless_loop_dies_with_its_parent(use: Use, tmp_path: Path) -> None:
    code = (
        "import os, sys, time, threading\n"
        "from rlsp_cli.rewards.pool import Pool\n"
        "from rlsp_cli.rewards.call import Call, Use\nfrom rlsp_cli.rewards.sample import Sample\n"
        f"use = Use('exploration_reward', {use.reference!r}, {{}})\n"
        "pool = Pool([use], 1, 600.0, 1.0)\n"
        "hang = Call(use, (Sample(prompt='', response='hang'),))\n"
        "pool.map([Call(use, (Sample(prompt='', response='fine'),))])\n"
        "threading.Thread(target=pool.map, args=([hang],), daemon=True).start()\n"
        "time.sleep(0.5)\nprint(*pool.pids(), flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pids = done.stdout.split()
    assert pids, done.stderr
    for _ in range(100):
        alive = [
            p
            for p in pids
            if Path(f"/proc/{p}").exists() and "\tZ" not in Path(f"/proc/{p}/status").read_text()
        ]
        if not alive:
            return
        time.sleep(0.1)
    pytest.fail(f"{alive} live on")


def test_a_file_of_the_user_does_not_shadow_the_library_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "math_verify.py").write_text("raise RuntimeError('not the library')\n")
    monkeypatch.chdir(tmp_path)
    verifier = Use("verifier", "math_verify", {})
    with Pool([verifier], 1, 20.0, 2.0) as pool:
        ((score,),) = pool.map(
            [Call(verifier, (Sample(prompt="", response="\\boxed{0.5}", reference="1/2"),))]
        )
    assert score.value == 1.0, score


def children(parent: int) -> list[int]:
    """Scoring processes of this process, also those that are still starting."""
    listing = subprocess.run(
        ["ps", "--ppid", str(parent), "-o", "pid=,args="],
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        int(line.split()[0])
        for line in listing.stdout.splitlines()
        if "rlsp_cli.rewards.worker" in line
    ]


def test_a_process_that_somebody_kills_costs_no_sample(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(
        "import time\nfrom rlsp_cli.rewards import Sample, exploration_reward\n\n@exploration_reward\n"
        "def slow(sample: Sample) -> float:\n    time.sleep(0.05)\n    return float(sample.response)\n"
    )
    use = Use("exploration_reward", f"{path}:slow", {})
    with Pool([use], count=2, timeout_s=20.0, memory_gb=1.0) as pool:
        futures = [pool.submit(partial(pool.run, one)) for one in call(use, *map(str, range(60)))]
        futures[0].result()
        for _ in range(12):
            with suppress(ProcessLookupError):
                for pid in children(os.getpid())[-1:]:  # one that scores, waits or is being started
                    os.kill(pid, 9)
            time.sleep(0.2)
        assert [future.result()[0].value for future in futures] == [float(n) for n in range(60)]


def test_a_machine_that_can_start_no_process_is_told(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with (
        Pool([use], 1, 5.0, 1.0) as pool,
        pytest.raises(PluginError, match=r"could not start \(FileNotFoundError"),
    ):
        pool.map(call(use, "fine"))


def test_processes_are_replaced_after_so_many_calls(use: Use) -> None:
    with Pool([use], count=1, timeout_s=5.0, memory_gb=1.0, recycle_after=3) as pool:
        before = set(pool.pids())
        assert [score.value for (score,) in pool.map(call(use, "fine") * 12)] == [0.5] * 12
        assert not before & set(pool.pids())


def test_a_forked_child_has_processes_of_its_own(use: Use) -> None:
    with Pool([use], count=1, timeout_s=5.0, memory_gb=1.0) as pool:
        pool.map(call(use, "fine"))
        parents = set(pool.pids())
        child = os.fork()
        if child == 0:
            ((score,),) = pool.map(call(use, "fine"))
            fine = score.value == 0.5 and not parents & set(pool.pids())
            pool.close()
            os._exit(0 if fine else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pool.map(call(use, "fine"))[0][0].value == 0.5


def test_a_stopped_process_is_a_timeout_even_for_a_sample_larger_than_a_pipe(use: Use) -> None:
    with Pool([use], count=1, timeout_s=1.0, memory_gb=1.0) as pool:
        pool.map(call(use, "fine"))
        for pid in pool.pids():
            os.kill(pid, 19)
        ((score,),) = pool.map(call(use, "x" * 1_000_000))
        assert score.outcome == "timeout"


GROUP = """
from collections.abc import Sequence
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def rank(group: Sequence[Sample]) -> list[float | None]:
    if group[0].response == "short":
        return [1.0]
    order = sorted(group, key=lambda sample: len(sample.response))
    return [None if not s.response else float(order.index(s)) for s in group]
"""


def test_a_reward_of_a_group_sees_all_samples_of_a_prompt_at_once(tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(GROUP)
    use = Use("exploration_reward", f"{tmp_path}/rank.py:rank", {}, takes_group=True)
    samples = tuple(Sample(prompt="", response=text) for text in ("ccc", "", "a", "bb"))
    with Pool([use], 1, 5.0, 1.0) as pool:
        scores, wrong = pool.map(
            [Call(use, samples), Call(use, (Sample("", "short"), Sample("", "b")))]
        )
    assert [score.value for score in scores] == [3.0, None, 1.0, 2.0]
    assert [score.outcome for score in scores] == ["value", "abstain", "value", "value"]
    assert [
        "returned 1 items, expected a list of 2" in (score.reason or "") for score in wrong
    ] == [True, True]


def test_a_threaded_ray_actor_scores_as_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv(
        "RAY_AUTH_MODE", "disabled"
    )  # else Ray wants a token from every later cluster of this process

    class Grader:
        def __init__(self) -> None:
            self.use = Use("verifier", "math_verify", {})
            self.pool = Pool([self.use], 2, 3.0, 2.0)

        def verify(self, response: str) -> tuple[str, float | None]:
            ((score,),) = self.pool.map([Call(self.use, (Sample("", response, "1/2"),))])
            return score.outcome, score.value

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        grader = ray.remote(max_concurrency=4)(Grader).remote()
        boxes = ["\\boxed{0.5}", "\\boxed{3}", "\\boxed{9^{9^{9^{9}}}}", "\\boxed{\\frac12}"]
        found = ray.get([grader.verify.remote(box) for box in boxes * 3])
    finally:
        ray.shutdown()
    assert {found[n][1] for n in (2, 6, 10)} <= {None, 0.0}
    assert {found[n] for n in (0, 4, 8)} == {("value", 1.0)} and {found[n] for n in (1, 5, 9)} == {
        ("value", 0.0)
    }


def test_whoever_submits_too_much_waits(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(
        "import time\nfrom pathlib import Path\nfrom rlsp_cli.rewards import Sample, exploration_reward\n\n"
        "@exploration_reward\ndef gate(sample: Sample) -> float:\n"
        "    while sample.response and not Path(sample.response).exists():\n        time.sleep(0.01)\n    return 1.0\n"
    )
    use = Use("exploration_reward", f"{tmp_path}/gate.py:gate", {})
    with Pool([use], count=1, timeout_s=60.0, memory_gb=1.0, backlog=2) as pool:
        submitted: list[int] = []

        def submit_all() -> None:
            for number, one in enumerate(call(use, *[str(tmp_path / "open")] * 3)):
                pool.submit(partial(pool.run, one))
                submitted.append(number)

        thread = threading.Thread(target=submit_all)
        thread.start()
        while len(submitted) < 2:
            time.sleep(0.01)
        thread.join(0.5)
        assert submitted == [0, 1]  # the third waits for a place
        (tmp_path / "open").touch()
        thread.join()
        assert submitted == [0, 1, 2]
