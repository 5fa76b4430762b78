"""OpenRLHF's unchanged PPO trains a tiny model on CPUs: a real Ray, a real vLLM, DeepSpeed, and our rewards in it.

What stands in is in the CPU profile's environment: a shim that takes GPU calls to the CPU. It
changes no algorithm.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.openrlhf.checkpoint import newest_checkpoint
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.rewards import split_steps
from rlsp_cli.rewards.turns import TurnsOutcome
from rlsp_cli.runs.paths import StagePaths
from tests.conftest import free_port, rlsp

pytestmark = pytest.mark.integration

PATIENCE_S = 1200
ROLLOUTS, WARM_UP = 12, 2
"""Of the recipe `openrlhf_cpu`."""
WATCH = Path(__file__).parent / "openrlhf" / "watch"
"""On PYTHONPATH it writes down what the tokens of the first rollout are paid."""
ENDS = get_args(TurnsOutcome)
STEP_WEIGHT, STEP_SCORE = 0.01, 0.5
"""So little that it changes nothing of what the run learns."""
SCORER = f"""
from collections.abc import Sequence
from rlsp_cli.rewards import Sample, step_scorer

@step_scorer
def tries(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    return [{STEP_SCORE} if "wanted" in step and step.endswith(".") else None for step in steps]
"""


def rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a stream, which may be growing."""
    if not path.exists():
        return []
    return [
        json.loads(line)
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]


def until(process: "subprocess.Popen[str]", happened: Callable[[], object]) -> None:
    """Return when something has happened; fail when the process ends first."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, "ended before"
        time.sleep(0.2)


def start(*arguments: object, **more: str) -> "subprocess.Popen[str]":
    """A command, with more variables in its environment."""
    command, pipe = [sys.executable, "-m", "rlsp_cli", *map(str, arguments)], subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **more}
    )


def processes_of(words: str) -> list[int]:
    """Processes whose command line holds some words."""
    found = subprocess.run(
        ["pgrep", "-f", words], capture_output=True, text=True, check=False
    ).stdout
    return [int(pid) for pid in found.split() if int(pid) != os.getpid()]


def optimiser_steps(root: Path, model: str, rollouts: int) -> int:
    """Optimiser steps that DeepSpeed counted for a model until a checkpoint."""
    folder = root / "ppo" / "output" / "checkpoints" / model / f"global_step{rollouts}"
    (state,) = folder.glob("*model_states.pt")
    return int(torch.load(state, weights_only=False)["global_steps"])


@pytest.fixture(scope="module")
def trained(openrlhf_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's `rlsp run openrlhf_cpu`, and a reward for steps; killed in the critic's warm-up, it then went on."""
    folder = tmp_path_factory.mktemp("openrlhf")
    root, scorer = folder / "run", folder / "tries.py"
    scorer.write_text(SCORER)
    steps = "steps: {by: sentences, dense: true, refine: []}"
    paid = f"{{use: '{scorer}:tries', weight: {STEP_WEIGHT}, on_abstain: {{penalise: 0}}, {steps}}}"
    changes = ("ppo.save_every=1", f"cluster.port={free_port()}")
    rewards = f"reward.exploration=[{{use: length, scale: 10}}, {paid}]"
    arguments = ("run", "openrlhf_cpu", *changes, rewards, "--out", root)
    first = start(*arguments, PYTHONPATH=str(WATCH), OBSERVED_PAY=str(folder / "paid.jsonl"))
    # A step's metrics are written before its checkpoint.
    until(first, lambda: newest_checkpoint(OpenRlhfFiles(StagePaths(root / "ppo"))))
    (driver,) = processes_of(f"rlsp_cli.launch.ray {root}/ppo/job.json")
    os.kill(driver, signal.SIGKILL)
    said = first.communicate()[1]
    assert first.returncode == 5 and "code -9" in said, said
    done = rlsp(*arguments, "--resume")
    (root / "said").write_text(done.stderr)
    return root


def test_the_reward_rises_with_correctness_and_exploration_apart(trained: Path) -> None:
    found = rows(trained / "ppo" / "metrics.jsonl")
    first, last = found[:3], found[-3:]
    for name in ("reward/mean", "correctness/mean", "response/tokens"):
        assert fmean(row[name] for row in last) > 1.3 * fmean(row[name] for row in first)
    assert all(
        {"exploration/length/mean", "loss/value", "time/sampled_tokens_per_s"} <= row.keys()
        for row in found
    )
    trained_ones = [row for row in found if row["step"] >= WARM_UP]
    assert all({"loss/policy", "kl/token", "lr/policy"} <= row.keys() for row in trained_ones)
    assert not any("loss/policy" in row for row in found[:WARM_UP])


def test_a_killed_training_goes_on_from_its_checkpoint_and_leaves_nothing_behind(
    trained: Path,
) -> None:
    assert [row["step"] for row in rows(trained / "ppo" / "metrics.jsonl")] == list(range(ROLLOUTS))
    assert "going on from global_step1" in (trained / "said").read_text()
    assert processes_of(str(trained)) == []


def test_the_policy_takes_its_steps_after_the_critics_warm_up_and_its_learning_rate_ends_with_them(
    trained: Path,
) -> None:
    """Each rollout has 128 responses in batches of 32."""
    steps = {model: optimiser_steps(trained, model, ROLLOUTS) for model in ("_actor", "_critic")}
    assert steps == {"_actor": (ROLLOUTS - WARM_UP) * 4, "_critic": ROLLOUTS * 4}
    found = rows(trained / "ppo" / "metrics.jsonl")
    assert found[-1]["lr/policy"] == pytest.approx(0.1 * 3e-4)
    assert found[-1]["lr/critic"] == pytest.approx(
        0.1 * 1e-3, rel=0.05
    )  # a mean over the rollout's steps
    first = found[WARM_UP]
    assert (
        first["openrlhf/ppo_kl"] < 0.02 and first["clip_fraction"] < 0.02
    )  # with the warm-up's rollouts: some 0.04


def test_rollouts_hold_every_component(trained: Path) -> None:
    found = rows(trained / "ppo" / "rollouts.jsonl")
    assert {row["step"] for row in found} == set(range(ROLLOUTS)) and len(found) <= ROLLOUTS * 64
    for row in found:
        parts = [row["correctness"], *row["exploration"]]
        assert [part["component"] for part in parts] == ["exact_match", "length", "tries"]
        assert (
            row["prompt"].startswith("Which two of")
            and row["id"].startswith("train-")
            and row["num_tokens"] > 0
        )
    mixed = []
    for row in found:
        length, tries = row["exploration"]
        explored = length["value"] + STEP_WEIGHT * (tries["value"] or 0)
        mixed.append(0.8 * row["correctness"]["value"] + 0.2 * explored)
    assert [row["reward"] for row in found] == pytest.approx(mixed)


def test_steps_are_paid_at_their_ends_in_the_experience_of_the_trainer(trained: Path) -> None:
    """128 responses of a model that has learned the form of a search."""
    found = rows(trained.parent / "paid.jsonl")
    worth = 0.2 * STEP_WEIGHT * STEP_SCORE
    several = 0
    for row in found:
        response = row["until"][-1][len(row["prompt"]) :]
        steps = split_steps(response, "sentences")
        ends = [step.end for step in steps if "wanted" in step.text and step.text.endswith(".")]
        written = [len(text.rstrip()) - len(row["prompt"]) for text in row["until"]]
        places = [next(i for i, done in enumerate(written) if done >= end) for end in ends]

        paid = [worth if place in places else 0.0 for place in range(len(written) - 1)]
        assert row["paid"][:-1] == pytest.approx(paid, abs=worth / 50)
        several += len(places) > 1
    assert len(found) == 128 and several > 10


def test_evaluation_reads_the_checkpoint_and_finds_it_better(trained: Path) -> None:
    models = json.loads((trained / "eval" / "results.json").read_text())["data"]["models"]
    accuracy = {
        name: model["benches"]["heldout"]["sample"]["accuracy"]["value"]
        for name, model in models.items()
    }
    assert accuracy["ppo"] > accuracy["sft"] + 0.2


@pytest.fixture(scope="module")
def talked(openrlhf_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rollouts of `turns/product`, by a model that has seen how a calculator is asked."""
    folder = tmp_path_factory.mktemp("talked")
    root = folder / "run"
    sizes = "{hidden_size: 96, num_layers: 1, num_heads: 3, intermediate_size: 128, max_length: 96}"
    changes = [f"model.from_scratch={sizes}", "data.traces.rows=4000", "data.prompts.rows=200"]
    changes += ["data.heldout.rows=20", "sft.max_steps=250", "eval=null", "ppo.backend=openrlhf"]
    changes += ["ppo.steps=2", "ppo.rollout_batch=32", "ppo.train_batch=32", "ppo.micro_batch=16"]
    changes += ["ppo.max_prompt_tokens=32", "ppo.critic_warmup_steps=1", "ppo.eval_every=2"]
    changes += ["ppo.save_every=2", "ppo.openrlhf.placement.share=actor_reference"]
    process = start(
        *("run", "turns/product", *changes, f"cluster.port={free_port()}", "--out", root),
        PYTHONPATH=str(WATCH),
        OBSERVED_PAY=str(folder / "paid.jsonl"),
    )
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return root


def test_what_a_calculator_says_is_in_the_sequences_of_the_trainer_and_in_none_of_its_masks(
    talked: Path,
) -> None:
    """32 responses of a model that asks in some of them."""
    tokenizer = load_tokenizer(str(talked / "sft" / "checkpoints" / "final"))
    trained_on = []
    for row in rows(talked.parent / "paid.jsonl"):
        chosen = row["chosen"]
        others = set(range(chosen[0], chosen[-1])) - set(chosen)
        parts = ([row["sequence"][place] for place in sorted(part)] for part in (chosen, others))
        trained_on.append(
            [letters(tokenizer.decode(part, skip_special_tokens=True)) for part in parts]
        )

    kept = [
        row["turns"]["said"] for row in rows(talked / "ppo" / "rollouts.jsonl") if not row["step"]
    ]
    own = [[turn["text"] for turn in said if turn["by"] == "model"] for said in kept]
    calculated = [[turn["text"] for turn in said if turn["by"] == "calculator"] for said in kept]
    # Decoding leaves `error` out, which is no word of this tokenizer's.
    foreign = [[text for text in texts if text != "error"] for texts in calculated]
    expected = [
        [letters("".join(texts)) for texts in pair] for pair in zip(own, foreign, strict=True)
    ]
    assert len(kept) == 32 and sorted(trained_on) == sorted(expected)
    assert sum(bool(texts) for texts in foreign) > 2


def letters(text: str) -> str:
    """A text without spaces, which decoding puts between two turns or does not."""
    return "".join(text.split())


def test_a_training_in_turns_measures_and_learns_as_others_do(talked: Path) -> None:
    found = rows(talked / "ppo" / "metrics.jsonl")
    assert [sum(row[f"turns/{how}"] for how in ENDS) for row in found] == [32, 32]
    assert all(row["turns/foreign"] > 0 and row["response/tokens"] > 0 for row in found)
    assert "loss/policy" in found[-1] and 0 <= found[-1]["heldout/correctness"] <= 1
    # vLLM and the trainer see the same tokens before each choice.
    assert abs(found[-1]["mismatch/kl"]) < 0.02


def on_two_nodes(*arguments: object) -> "tuple[subprocess.Popen[str], subprocess.Popen[str]]":
    """A job whose Ray has a second node, and that node."""
    process = start("ppo", *arguments)
    assert process.stderr is not None
    told = next(line for line in process.stderr if "rlsp launch worker --join" in line)
    return process, start(*told.partition("there: rlsp ")[2].split(), "--gpus", 2)


@pytest.mark.nightly
def test_with_filters_streams_apart_and_a_ctrl_c_in_between_a_run_on_two_nodes_does_what_its_recipe_says(
    trained: Path, tmp_path: Path
) -> None:
    """From the model that the other run has trained with SFT: two starts for all of these."""
    root, model = tmp_path / "run", trained / "sft" / "checkpoints" / "final"
    changes = [
        "sft=null",
        "model.from_scratch=null",
        f"model.path={model}",
        "ppo.estimator=group_norm",
    ]
    changes += [
        "ppo.samples_per_prompt=4",
        "ppo.rollout_batch=16",
        "ppo.advantages=separate",
        "ppo.eval_every=1",
    ]
    changes += [
        "data.heldout.rows=8",
        "eval.samples=1",
        "ppo.steps=5",
        "ppo.openrlhf.placement.actor=1",
        "ppo.openrlhf.engines.count=1",
    ]
    changes += ["ppo.select={use: pass_rate, lo: 0.01, hi: 0.99}", "ppo.export_every=2"]
    changes += [f"cluster={{nodes: 2, launcher: ray, port: {free_port()}}}", "--out", str(root)]
    process, second = on_two_nodes("openrlhf_cpu", *changes)
    metrics = root / "ppo" / "metrics.jsonl"
    until(process, lambda: any(row["step"] >= 1 for row in rows(metrics)))
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    before = rows(metrics)
    assert process.returncode == 130 and 2 <= len(before) < 5, said
    saved = root / "ppo" / "output" / "checkpoints" / "_actor" / f"global_step{len(before)}"
    assert saved.is_dir()
    assert "has ended" in second.communicate()[1] and second.returncode == 0

    process, second = on_two_nodes("openrlhf_cpu", *changes, "--resume")
    said = process.communicate()[1]
    assert process.returncode == 0, said
    second.communicate()
    found = rows(metrics)
    assert found[: len(before)] == before and [row["step"] for row in found] == list(range(5))
    assert all({"heldout/correctness", "heldout/tokens"} <= row.keys() for row in found)
    assert all(row["advantage/separate"] > 0 for row in found)
    assert all(
        row["openrlhf/rollout/num_samples"] == 64 for row in found
    )  # whole, whatever was filtered
    assert sum(row["filtered"] for row in found) > 0 and all(
        row["filtered"] % 4 == 0 for row in found
    )
    assert all(0 < row["correctness/mean"] < 1 and row["reward/flat_groups"] == 0 for row in found)
    assert found[-1]["lr/policy"] == pytest.approx(
        0.1 * 3e-4
    )  # the schedule ends with the last of 5 steps
    exported = StagePaths(root / "ppo").all_exported()
    assert list(exported) == [2, 4]
    models = [
        folder / "model.safetensors"
        for folder in (*exported.values(), root / "ppo" / "checkpoints" / "final")
    ]
    weights = [load_file(file)["model.layers.0.mlp.up_proj.weight"] for file in models]
    assert not any(torch.equal(*pair) for pair in pairwise(weights))
    assert all(
        file.stat().st_mode == file.with_name("config.json").stat().st_mode for file in models
    )
