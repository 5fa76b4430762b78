"""Models of a training's steps: kept by `ppo.export_every`, evaluated by `rlsp eval RUN --steps`, drawn over steps."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlsp_cli.runs.paths import StagePaths
from tests.conftest import rlsp

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe, of whose four steps of PPO the models after 1, 2, 3 and 4 are kept."""
    from tests.conftest import TINY

    folder = tmp_path_factory.mktemp("exported")
    (folder / "tiny.yaml").write_text(TINY)
    options = (
        "ppo.export_every=1",
        "ppo.critic_warmup_steps=0",
        "--stage",
        "sft",
        "--stage",
        "ppo",
    )
    rlsp("run", folder / "tiny.yaml", *options, "--out", folder / "run", cwd=folder)
    return folder / "run"


def test_each_is_the_policy_after_its_step_and_none_is_rotated_away(run: Path) -> None:
    exported = StagePaths(run / "ppo").all_exported()
    assert list(exported) == [1, 2, 3, 4]
    weights = [load_file(folder / "model.safetensors") for folder in exported.values()]
    name = "model.layers.0.mlp.up_proj.weight"
    assert not any(torch.equal(a[name], b[name]) for a, b in pairwise(weights))
    final = load_file(run / "ppo" / "checkpoints" / "final" / "model.safetensors")
    assert torch.equal(weights[-1][name], final[name])
    for folder in exported.values():
        assert (folder / "tokenizer.json").exists()
        assert (folder / "model.safetensors").stat().st_mode == (
            folder / "config.json"
        ).stat().st_mode


def test_an_evaluation_of_steps_has_them_all_from_the_start_to_the_end(
    run: Path, tmp_path: Path
) -> None:
    rlsp("eval", run, "--steps", "--bench", "heldout", "--out", tmp_path / "eval", cwd=tmp_path)
    data = json.loads((tmp_path / "eval" / "eval" / "results.json").read_text())["data"]
    assert list(data["models"]) == [f"step-{step}" for step in range(5)]
    report = (tmp_path / "eval" / "report.html").read_text()
    assert report.count("<svg") == 1  # accuracy over steps, and no training


def test_without_models_of_steps_the_next_move_is_told(run: Path, tmp_path: Path) -> None:
    other = rlsp(
        "eval", run / "ppo" / "checkpoints" / "final", "--steps", "--bench", "heldout", check=False
    )
    assert other.returncode == 2 and "--steps needs one" in other.stderr
    for folder in StagePaths(run / "ppo").all_exported().values():
        folder.rename(folder.with_name(f"kept-{folder.name}"))
    none = rlsp("eval", run, "--steps", "--bench", "heldout", cwd=tmp_path, check=False)
    assert none.returncode == 2 and "ppo.export_every" in none.stderr
