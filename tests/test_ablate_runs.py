"""Ablations that run: failing arms, resuming, tasks side by side, and an array on Slurm."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from rlsp_cli.ablate.processes import run_tasks
from rlsp_cli.ablate.task import Task
from rlsp_cli.errors import NotReadyError, StoppedError
from rlsp_cli.runs.stream import read_json
from tests.conftest import TINY, rlsp

PICKY = """\
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def picky(sample: Sample, *, fails: bool = False) -> float:
    if fails and sample.reference not in sample.response:
        raise ValueError("not what I like")
    return 0.5
"""


def task(folder: Path, name: str, code: str) -> Task:
    return Task(name, (sys.executable, "-c", code), folder / f"{name}.log")


def test_tasks_run_side_by_side_and_one_that_fails_does_not_stop_the_rest(tmp_path: Path) -> None:
    # Each waits for the other's file, so one after the other would never end.
    wait = "import pathlib, time\npathlib.Path({!r}).touch()\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)"
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    tasks = [task(tmp_path, "one", wait.format(a, b)), task(tmp_path, "two", wait.format(b, a))]
    tasks += [task(tmp_path, "bad", "raise SystemExit('no')"), task(tmp_path, "last", "print(1)")]

    said: list[str] = []
    run_tasks(tasks, 2, 0, said.append)
    assert f"bad: failed; see {tmp_path}/bad.log" in said and "last: done" in said
    assert "4 of 4: last" in said and (tmp_path / "bad.log").read_text() == "no\n"


def test_a_signal_lets_running_tasks_save_and_starts_no_other(tmp_path: Path) -> None:
    save = (
        "import pathlib, signal, sys, time\n"
        "def leave(*_):\n    time.sleep(0.6)\n    print('saved', flush=True)\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )

    def stop() -> None:
        while not (tmp_path / "ready").exists():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    said: list[str] = []
    # The other's place becomes free while the first one saves.
    tasks = [task(tmp_path, "other", "import time; time.sleep(60)"), task(tmp_path, "first", save)]
    tasks.append(task(tmp_path, "second", "print(1)"))
    with pytest.raises(StoppedError) as error:
        run_tasks(tasks, 2, 0, said.append)
    assert "first: stopped" in said
    assert error.value.exit_code == 143
    assert (tmp_path / "first.log").read_text() == "saved\n"
    assert not (tmp_path / "second.log").exists()


def test_tasks_side_by_side_have_gpus_and_threads_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    shown = "import os\nprint(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])"
    run_tasks([task(tmp_path, name, shown) for name in "ab"], 2, 2, lambda _: None)
    assert (tmp_path / "a.log").read_text() == "4,5 4\n"
    assert (tmp_path / "b.log").read_text() == "6,7 4\n"

    with pytest.raises(NotReadyError, match="3 runs at a time want 6 GPUs, and this machine has 4"):
        run_tasks([], 3, 2, lambda _: None)


@pytest.mark.integration
def test_a_failed_arm_is_listed_and_resumed_and_finished_runs_are_not_run_again(
    tiny_run: Path, tmp_path: Path
) -> None:
    plugin, recipe, root = tmp_path / "picky.py", tmp_path / "tiny.yaml", tmp_path / "ablation"
    plugin.write_text(PICKY)
    recipe.write_text(
        TINY.replace("{use: length, scale: 10}", "{use: picky}") + "plugins: [./picky.py]\n"
    )
    words = ["ablate", recipe, "--over", "reward.exploration.fails=false,true", "--out", root]

    done = rlsp(*words, "--seeds", 1, check=False)
    assert done.returncode == 5, done.stderr
    assert "fails=true, seed 3: failed in ppo: " in done.stdout
    assert "1 of 2 runs are not done; go on with: rlsp ablate" in done.stderr
    ours = root / "fails=false" / "seed-3"
    assert (root / "fails=true" / "seed-3" / "sft").is_symlink()
    assert not (root / "fails=true" / "seed-3" / "sft" / "attempts" / "2").exists()

    # The SFT that arms share is that of an ordinary run, which has another reward.
    weights = Path("sft", "checkpoints", "final", "model.safetensors")
    assert (ours / weights).read_bytes() == (tiny_run / "run" / weights).read_bytes()

    plugin.write_text(PICKY.replace("fails and", "False and"))
    before = (ours / "ppo" / "metrics.jsonl").stat().st_mtime_ns
    done = rlsp(*words, "--seeds", 2, "--parallel", 2, "--resume", "--json")
    report = json.loads(done.stdout)["data"]
    assert (ours / "ppo" / "metrics.jsonl").stat().st_mtime_ns == before
    assert "1 of 3: " in done.stderr and report["unfinished"] == {}
    greedy = [one for one in report["results"] if one["kind"] == "greedy"]
    assert [one["arm"] for one in greedy] == ["fails=false", "fails=true"]
    assert greedy[1]["moved"]["seeds"] == 2 and greedy[1]["moved"]["low"] is not None
    assert report["costs"]["fails=true"]["tokens"] > 0


@pytest.mark.integration
@pytest.mark.usefixtures("slurm")
def test_on_slurm_the_runs_are_tasks_of_one_array(tmp_path: Path) -> None:
    # Given responses need no model, so that a run takes seconds.
    rows = [{"id": str(i), "response": f"So \\boxed{{{i}}}"} for i in range(6)]
    for name, count in (("all", 6), ("half", 3)):
        wrong = [{**row, "response": "no"} for row in rows[count:]]
        text = "".join(json.dumps(row) + "\n" for row in rows[:count] + wrong)
        (tmp_path / f"{name}.jsonl").write_text(text)
    problems = [{"id": str(i), "problem": "?", "answer": str(i)} for i in range(6)]
    (tmp_path / "heldout.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    recipe = tmp_path / "given.yaml"
    recipe.write_text(
        "name: given\ncluster: {launcher: slurm}\nreward: {correctness: {use: exact_match}}\n"
        "data: {heldout: {source: ./heldout.jsonl, problem: problem, answer: answer}}\n"
        "eval: {samples: 0, responses: ./half.jsonl}\n"
    )

    over = ["--over", "eval.responses=./half.jsonl,./all.jsonl", "--seeds", 1, "--parallel", 2]
    done = rlsp("ablate", recipe, *over, "--out", "ablation", "--json", cwd=tmp_path)
    assert "of 2 tasks submitted" in done.stderr
    assert "--array" not in (tmp_path / "ablation" / "slurm" / "array.sbatch").read_text()

    report = json.loads(done.stdout)["data"]
    assert report["unfinished"] == {} and report["baseline"].endswith("half.jsonl")
    assert report["results"][1]["moved"]["difference"] == 0.5
    resolved = tmp_path / "ablation" / report["results"][1]["arm"] / "seed-0" / "manifest.json"
    assert read_json(resolved)["seed"] == 0
