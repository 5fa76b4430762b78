"""`ppo.sampler: vllm` from the command line: whole runs with adapters and all weights, and the death of the server."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.environment import Environment
from rlsp_cli.runs.stream import read_rows
from tests.conftest import rlsp
from tests.test_vllm import engine_of, gone

pytestmark = pytest.mark.integration

# vLLM's attention for CPUs takes heads of 32.
RECIPE = """\
schema_version: 1
name: served
model:
  from_scratch: {hidden_size: 64, num_layers: 1, num_heads: 2, intermediate_size: 64, max_length: 96}
data: {prompts: {source: task:pair_sum, rows: 64}}
reward: {correctness: {use: exact_match}, exploration: {use: length, scale: 10}, workers: 1}
ppo:
  sampler: vllm
  steps: 12
  rollout_batch: 8
  samples_per_prompt: 2
  estimator: group_norm
  train_batch: 8
  micro_batch: 8
  max_new_tokens: 12
  learning_rate: 1.0e-2
  save_every: 20
"""


@pytest.fixture
def recipe(tmp_path: Path, openrlhf_environment: Environment) -> Path:
    path = tmp_path / "served.yaml"
    path.write_text(RECIPE)
    return path


def metrics(run: Path) -> list[dict[str, Any]]:
    return list(read_rows(run / "ppo" / "metrics.jsonl"))


def looks_whole(run: Path, steps: int) -> None:
    """The run has all steps, on responses of the policy as it was, and has left nothing."""
    rows = metrics(run)
    assert [row["step"] for row in rows] == list(range(steps))
    assert max(row["mismatch/largest"] for row in rows) < 1e-3
    assert rows[0]["entropy"] != pytest.approx(rows[-1]["entropy"], rel=1e-3), "it does not learn"

    truncated = [row["truncated"] for row in read_rows(run / "ppo" / "rollouts.jsonl")]
    assert len(truncated) == 16 * steps
    assert (run / "ppo" / "checkpoints" / "final" / "model.safetensors").exists()
    assert not (run / "ppo" / "served").exists()
    assert gone(run / "ppo" / "vllm.log")


def test_all_weights_are_trained_on_rollouts_of_vllm(recipe: Path, tmp_path: Path) -> None:
    rlsp("ppo", recipe, "ppo.steps=4", "--out", "run", cwd=tmp_path)
    looks_whole(tmp_path / "run", 4)


def test_a_run_with_adapters_goes_on_after_the_death_of_its_server(
    recipe: Path, tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "run" / "ppo" / "vllm.log"
    changes = ["ppo.lora={rank: 4, keep_adapter: true}"]
    command = [sys.executable, "-m", "rlsp_cli", "ppo", str(recipe), *changes, "--out", "run"]
    going = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (run / "ppo" / "metrics.jsonl").exists() or not metrics(run):
        assert going.poll() is None
        time.sleep(0.05)
    engine = engine_of(log)
    assert engine is not None
    os.kill(engine, signal.SIGKILL)

    _, said = going.communicate()
    assert going.returncode == 4, said
    assert "vLLM ended with code" in said and "--resume" in said
    assert "Traceback" not in said
    done = len(metrics(run))
    assert 1 <= done < 12
    assert [folder.name for folder in (run / "ppo" / "checkpoints").iterdir()] == [
        f"step-{done:06d}"
    ]
    assert gone(log)

    rlsp("ppo", recipe, *changes, "--out", "run", "--resume", cwd=tmp_path)
    looks_whole(run, 12)
    adapter = run / "ppo" / "checkpoints" / "final" / "adapter" / "adapter_config.json"
    assert json.loads(adapter.read_text())["r"] == 4


def test_another_vllm_is_refused_before_the_first_stage(recipe: Path, tmp_path: Path) -> None:
    """An interpreter that has OpenRLHF by name, and a vLLM of another version."""
    for name, version in (("openrlhf", "0.11.2"), ("vllm", "0.11.0")):
        info = tmp_path / "packages" / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/packages exec {sys.executable} "$@"\n')
    python.chmod(0o755)

    changes = [f"backends.openrlhf.python={python}"]
    done = rlsp("ppo", recipe, *changes, "--out", "run", cwd=tmp_path, check=False)
    assert done.returncode == 4, done.stderr
    assert "ppo.sampler: vllm needs vLLM 0.29.0" in done.stderr and "has 0.11.0" in done.stderr
    assert not (tmp_path / "run" / "ppo" / "attempts").exists()

    changes = [f"backends.openrlhf.python={sys.executable}"]
    done = rlsp("ppo", recipe, *changes, "--out", "other", cwd=tmp_path, check=False)
    assert done.returncode == 4 and "ppo.sampler: vllm needs vLLM" in done.stderr
