"""Whole runs through the command line, in processes of their own: what is written, resumed, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlsp_cli.runs.stream import read_rows
from tests.conftest import rlsp

pytestmark = pytest.mark.integration


def metrics(run: Path, stage: str) -> list[dict[str, Any]]:
    """A stage's metrics without the clock."""
    rows = read_rows(run / stage / "metrics.jsonl")
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in rows
    ]


def outcome(run: Path) -> dict[str, Any]:
    """Everything that equal runs must agree in."""
    results = json.loads((run / "eval" / "results.json").read_text())["data"]
    numbers = {model: result["benches"] for model, result in results["models"].items()}
    rollouts = list(read_rows(run / "ppo" / "rollouts.jsonl"))
    for part in (part for row in rollouts for part in (row["correctness"], *row["exploration"])):
        del part["ms"]  # the clock again
    return {
        "sft": metrics(run, "sft"),
        "ppo": metrics(run, "ppo"),
        "rollouts": rollouts,
        "eval": numbers,
    }


@pytest.fixture(scope="module")
def whole(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted run of the tiny recipe."""
    return shutil.copytree(tiny_run / "run", tmp_path_factory.mktemp("whole") / "run")


def test_a_run_leaves_everything_that_is_needed_to_redo_it(whole: Path) -> None:
    for name in (
        "recipe.yaml",
        "resolved.yaml",
        "manifest.json",
        "report.html",
        "report.json",
        "ppo/job.json",
    ):
        assert (whole / name).stat().st_size > 0
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["seed"] == 3 and manifest["versions"]["torch"] == torch.__version__
    assert {plugin["name"] for plugin in manifest["plugins"]} == {
        "exact_match",
        "length",
        "pair_sum",
    }
    assert json.loads((whole / "status.json").read_text())["state"] == "done"
    assert len(metrics(whole, "sft")) == 4 and len(metrics(whole, "ppo")) == 4
    assert len(list(read_rows(whole / "ppo" / "rollouts.jsonl"))) == 64


def test_the_trained_model_loads_with_transformers_and_decodes(whole: Path) -> None:
    folder = whole / "ppo" / "checkpoints" / "final"
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    ids = tokenizer("Which two of 3, 7, 5, 8 add up to 10?", return_tensors="pt")["input_ids"]
    assert (
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4).shape[1]
        > ids.shape[1]
    )


def test_correctness_and_exploration_are_logged_apart_and_mixed_by_alpha(whole: Path) -> None:
    for row in read_rows(whole / "ppo" / "rollouts.jsonl"):
        c, (e,) = row["correctness"]["value"], [part["value"] for part in row["exploration"]]
        assert row["reward"] == pytest.approx(0.8 * c + 0.2 * e)
    for row in metrics(whole, "ppo"):
        assert row["reward/mean"] == pytest.approx(
            0.8 * row["correctness/mean"] + 0.2 * row["exploration/length/mean"]
        )
        assert row["critic_only"] == (row["step"] < 1) == ("loss/policy" not in row)


def test_the_first_policy_update_starts_at_the_reference_and_leaves_it(whole: Path) -> None:
    rows = metrics(whole, "ppo")
    assert [abs(row["kl/response"]) < 1e-4 for row in rows] == [True, True, False, False]


def test_the_resolved_recipe_gives_the_same_numbers_again(whole: Path, tmp_path: Path) -> None:
    rlsp("run", whole / "resolved.yaml", "--out", tmp_path / "again", cwd=tmp_path)
    assert outcome(tmp_path / "again") == outcome(whole)


def start(*arguments: object, cwd: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "rlsp_cli", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_for_rows(stream: Path, count: int) -> None:
    """Until the stream has so many rows; the process under test writes them."""
    deadline = time.monotonic() + 120
    while len(list(read_rows(stream))) < count:
        assert time.monotonic() < deadline, f"{stream} never had {count} rows"
        time.sleep(0.01)


def stopped_by_ctrl_c(stage: str, recipe: Path, run: Path, *resume: str) -> None:
    """Start the run and stop it in a stage, after a step."""
    process = start("run", recipe, "--out", run, *resume, cwd=run.parent)
    wait_for_rows(run / stage / "metrics.jsonl", 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["stages"][stage]) == ("stopped", "stopped")
    assert f"rlsp run {recipe} --out {run} --resume" in said


def said_in_second_attempt(run: Path, stage: str) -> str:
    return (run / stage / "attempts" / "2" / "stdout.log").read_text()


def test_ctrl_c_saves_and_the_resumed_sft_ends_like_the_whole_one(
    whole: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stopped_by_ctrl_c("sft", tiny_recipe, run)
    rlsp("sft", tiny_recipe, "--out", run, "--resume", cwd=tmp_path)
    assert metrics(run, "sft") == metrics(whole, "sft")
    assert "resumed after step" in said_in_second_attempt(run, "sft")
    final = Path("sft", "checkpoints", "final", "model.safetensors")  # all that later stages get
    assert (run / final).read_bytes() == (whole / final).read_bytes()


@pytest.fixture
def after_sft(whole: Path, tmp_path: Path) -> Path:
    """The run after its first stage; its others have not begun."""
    run = tmp_path / "run"
    shutil.copytree(whole, run, ignore=shutil.ignore_patterns("ppo", "eval", "report.*"))
    status = json.loads((run / "status.json").read_text())
    status |= {"state": "stopped", "stages": {"sft": "done"}}
    (run / "status.json").write_text(json.dumps(status))
    return run


def test_ctrl_c_saves_and_the_resumed_run_ends_like_the_whole_one(
    whole: Path, after_sft: Path, tiny_recipe: Path
) -> None:
    stopped_by_ctrl_c("ppo", tiny_recipe, after_sft, "--resume")
    rlsp("run", tiny_recipe, "--out", after_sft, "--resume")
    assert outcome(after_sft) == outcome(whole)
    assert "resumed after step" in said_in_second_attempt(after_sft, "ppo")


def test_a_stage_ends_when_rlsp_is_killed(tiny_recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(
        "sft", tiny_recipe, "sft.max_steps=10000", "sft.epochs=10000", "--out", run, cwd=tmp_path
    )
    wait_for_rows(run / "sft" / "metrics.jsonl", 1)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate(timeout=120)
    deadline = time.monotonic() + 60
    while Path(
        f"/proc/{child}/cwd"
    ).exists():  # not that of a process which has ended and waits for its parent
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    whole: Path, after_sft: Path, tiny_recipe: Path
) -> None:
    run = after_sft
    process = start("run", tiny_recipe, "--out", run, "--resume", cwd=run.parent)
    wait_for_rows(run / "ppo" / "metrics.jsonl", 3)
    (child,) = [
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]
    os.kill(child, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 5 and "the process ended with code -9" in said
    rlsp("run", tiny_recipe, "--out", run, "--resume")
    assert outcome(run) == outcome(whole)


def test_stages_one_at_a_time_are_the_same_run(
    whole: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "run")
    rlsp("sft", tiny_recipe, *out, cwd=tmp_path)
    rlsp("ppo", tiny_recipe, *out, "--resume", cwd=tmp_path)
    rlsp("run", tiny_recipe, "--stage", "eval", *out, "--resume", cwd=tmp_path)
    assert outcome(tmp_path / "run") == outcome(whole)


def test_ppo_without_its_sft_checkpoint_says_what_to_do(tiny_recipe: Path, tmp_path: Path) -> None:
    done = rlsp("ppo", tiny_recipe, "--out", tmp_path / "run", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "first `rlsp sft RECIPE --out" in done.stderr


def test_a_dry_run_writes_the_jobs_prints_the_commands_and_starts_nothing(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    done = rlsp("run", tiny_recipe, "--dry-run", "--out", tmp_path / "run", cwd=tmp_path)
    commands = done.stdout.splitlines()
    assert len(commands) == 3 and all("rlsp_cli.backends.local" in command for command in commands)
    assert (tmp_path / "run" / "ppo" / "job.json").exists()
    assert not list((tmp_path / "run").glob("*/metrics.jsonl"))
    subprocess.run(commands[0], shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert len(metrics(tmp_path / "run", "sft")) == 4


def test_a_used_folder_is_refused_and_nothing_in_it_changes(
    whole: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    done = rlsp("run", tiny_recipe, "--out", whole, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "this folder is used" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_resuming_with_another_recipe_is_refused_key_by_key(
    whole: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    done = rlsp(
        "run", tiny_recipe, "ppo.steps=9", "--out", whole, "--resume", cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and "ppo.steps: 4 -> 9" in done.stderr


PPO_ALONE = ("sft=null", "eval=null")
"""Changes that leave one stage of the tiny recipe."""


@pytest.mark.parametrize(
    "changes",
    [
        [
            "ppo.estimator=rloo",
            "ppo.samples_per_prompt=4",
            "ppo.rollout_batch=4",
            "ppo.advantages=separate",
        ],
        pytest.param(
            [
                "ppo.critic=value_head",
                "model.from_scratch.model_type=gpt2",
                "reward.combine=released_code",
                "ppo.kl_target=0.5",
                "ppo.kl_horizon=100",
            ],
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            [
                "reward.alpha={start: 0.5, end: 1.0}",
                "model.from_scratch.model_type=qwen3",
                "ppo.epochs=2",
                "ppo.kl_estimator=k2",
            ],
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_groups_a_value_head_and_schedules_train_through_the_whole_command(
    changes: list[str], tiny_recipe: Path, tmp_path: Path
) -> None:
    rlsp("run", tiny_recipe, *changes, *PPO_ALONE, "--out", tmp_path / "run", cwd=tmp_path)
    rows = metrics(tmp_path / "run", "ppo")
    last = rows[-1]
    assert last["grad_norm/policy"] > 0 and abs(last["kl/response"]) > 1e-5
    assert ("loss/value" in last) == ("estimator" not in changes[0])
    if "kl_target" in " ".join(changes):
        assert len({row["kl/coef"] for row in rows}) == 4
    if "alpha" in changes[0]:
        assert [row["alpha"] for row in rows] == pytest.approx([0.5, 2 / 3, 5 / 6, 1.0])


def test_problems_with_long_prompts_are_left_out_and_counted(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    problems = ["Which two of 3, 7 add up to 10?", "Which two of 3, 7, 5, 8, 1, 2, 4 add up to 10?"]
    rows = [
        {"id": str(n), "problem": problem, "answer": "3 + 7"} for n, problem in enumerate(problems)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = [*PPO_ALONE, "ppo.steps=1", "ppo.max_prompt_tokens=20"]
    changes += ["data.prompts=null", f"data.prompts={{source: {tmp_path}/prompts.jsonl}}"]
    rlsp("ppo", tiny_recipe, *changes, "--out", tmp_path / "run", cwd=tmp_path)
    said = (tmp_path / "run" / "ppo" / "attempts" / "1" / "stdout.log").read_text()
    assert "ppo: 1 of 2 problems left out: prompt longer than max_prompt_tokens=20" in said
    assert {row["id"] for row in read_rows(tmp_path / "run" / "ppo" / "rollouts.jsonl")} == {"0"}


FAILING = """
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def sometimes(sample: Sample, *, share: float = 0.3) -> float:
    if hash(sample.id) % 100 < 100 * share:
        raise ValueError("cannot read this")
    return 0.5
"""


def test_a_reward_that_fails_now_and_then_is_counted_and_shown_and_never_zero(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        FAILING.replace("hash(sample.id)", "sum(sample.id.encode()) * 37")
    )
    change = f"reward.exploration={{use: {tmp_path}/mine.py:sometimes}}"
    done = rlsp("run", tiny_recipe, change, *PPO_ALONE, "--out", tmp_path / "run", cwd=tmp_path)
    failed = [
        r
        for r in read_rows(tmp_path / "run" / "ppo" / "rollouts.jsonl")
        if r["exploration"][0]["outcome"] == "error"
    ]
    assert failed and all(row["reward"] is None for row in failed)
    assert "ValueError: cannot read this (mine.py:7)" in failed[0]["exploration"][0]["reason"]
    assert sum(row["outcome/error"] for row in metrics(tmp_path / "run", "ppo")) == len(failed)
    assert all(row["exploration/sometimes/mean"] == 0.5 for row in metrics(tmp_path / "run", "ppo"))
    assert f"{len(failed)} error" in done.stdout


def test_a_reward_that_fails_too_often_stops_the_run_with_its_reason(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        FAILING.replace("hash(sample.id) % 100 < 100 * share", "sample.step is not None")
    )
    change = f"reward.exploration={{use: {tmp_path}/mine.py:sometimes}}"
    changes = [change, *PPO_ALONE, "--out", str(tmp_path / "run")]
    done = rlsp("run", tiny_recipe, *changes, cwd=tmp_path, check=False)
    assert done.returncode == 7
    assert (
        "16 of 16 responses failed to be scored" in done.stderr
        and "ValueError: cannot read this" in done.stderr
    )
    assert json.loads((tmp_path / "run" / "status.json").read_text())["exit_code"] == 7
    assert (tmp_path / "run" / "ppo" / "checkpoints" / "step-000000" / "trainer.pt").exists()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            "data.traces.response=solutoin",
            3,
            "no column 'solutoin'; its columns: id, problem, answer, solution",
        ),
        ("data.prompts.source=/none/p.jsonl", 3, "/none/p.jsonl: no such file"),
        ("reward.correctness.use=exact_mach", 3, 'did you mean "exact_match"?'),
        ("sft.max_length=8", 3, "every example is longer than sft.max_length"),
        ("cluster.gpus_per_node=1", 4, "this machine has 0"),
        ("eval.max_new_tokens=500", 3, "do not fit the model's 96 positions"),
        ("ppo.max_new_tokens=500", 3, "do not fit the model's 96 positions"),
        (
            "sft=null ppo.max_prompt_tokens=2",
            3,
            "all 64 prompts are longer than ppo.max_prompt_tokens 2",
        ),
    ],
)
def test_bad_input_is_one_line_and_the_documented_exit_code(
    changes: str, code: int, words: str, tiny_recipe: Path, tmp_path: Path
) -> None:
    arguments = [tiny_recipe, *changes.split(), "--out", tmp_path / "run"]
    done = rlsp("run", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if words in line]
    assert len(lines) == 1 and "Traceback" not in done.stderr


def test_a_model_folder_without_tokenizer_or_without_model_is_told(
    whole: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(whole / "sft" / "checkpoints" / "final", broken)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (broken / name).unlink()
    arguments = ("eval", broken, "--bench", "aime24", "--data", whole)
    (whole / "aime24.jsonl").write_text('{"problem": "1+1", "answer": "2"}\n')
    done = rlsp(
        *arguments, "eval.max_new_tokens=8", "--out", tmp_path / "a", cwd=tmp_path, check=False
    )
    assert done.returncode == 4 and "no tokenizer" in done.stderr
    (broken / "model.safetensors").unlink()
    done = rlsp(
        *arguments, "eval.max_new_tokens=8", "--out", tmp_path / "b", cwd=tmp_path, check=False
    )
    assert done.returncode == 4 and "no weights" in done.stderr and "no tokenizer" in done.stderr


def test_a_full_disk_is_one_line_and_loses_nothing(tiny_recipe: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        command = ("run", tiny_recipe, *PPO_ALONE, "--out", small / "run")
        done = rlsp(*command, cwd=tmp_path, check=False)
        assert done.returncode == 4, done.stderr
        assert "no space left" in done.stderr and "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", small], check=True)
        rlsp(*command, "--resume", cwd=tmp_path)
    finally:
        subprocess.run(["umount", small], check=False)
