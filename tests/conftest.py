"""Fixtures: data that lies beside the checkout, and recipes small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlsp_cli.backends.environment import Environment, default_folder

ROOT = Path(__file__).parent.parent

TINY = """\
schema_version: 1
name: tiny
seed: 3
model:
  from_scratch: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_length: 96}
data:
  traces: {source: task:pair_sum, rows: 64}
  prompts: {source: task:pair_sum, rows: 64}
  heldout: {source: task:pair_sum, split: test, rows: 6}
reward:
  correctness: {use: exact_match}
  exploration: {use: length, scale: 10}
  workers: 1
sft: {max_steps: 4, epochs: 10, batch: 16, micro_batch: 8, learning_rate: 3.0e-3, save_every: 2, max_length: 96}
ppo:
  steps: 4
  rollout_batch: 16
  train_batch: 8
  micro_batch: 8
  max_new_tokens: 16
  critic_warmup_steps: 1
  learning_rate: 1.0e-3
  critic_learning_rate: 1.0e-3
  save_every: 2
eval: {samples: 2, max_new_tokens: 16}
"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with AIME and MATH-500; tests that need it are skipped where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}")
    return folder


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe file whose three stages take seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def openrlhf_environment() -> Environment:
    """OpenRLHF for the CPU: made once on a machine, in some minutes, and kept while its lock is the same."""
    state = json.loads(rlsp("backends", "install", "openrlhf", "--profile", "cpu", "--json").stdout)["data"]
    return Environment("openrlhf", (str(default_folder("openrlhf") / "bin" / "python"),), state["version"])


def rlsp(*arguments: object, cwd: Path | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "rlsp_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done
