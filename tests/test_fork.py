"""Runs that begin from a checkpoint of another run."""

import json
from pathlib import Path

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.launch.fork import find_fork, fitted
from rlsp_cli.runs.stream import read_rows
from tests.conftest import load_checked, rlsp

pytestmark = pytest.mark.integration


def manifest(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "manifest.json").read_text())["forked_from"]
    return found


def losses(root: Path) -> list[object]:
    return [row["loss/value"] for row in read_rows(root / "ppo" / "metrics.jsonl")]


def test_with_the_same_keys_a_fork_ends_with_the_numbers_of_its_run(
    tiny_run: Path, tmp_path: Path
) -> None:
    done = rlsp(
        *("run", tiny_run / "tiny.yaml", "--stage", "ppo"),
        *("--from", f"{tiny_run / 'run'}@2", "--out", tmp_path / "fork"),
    )
    assert "forked from" in done.stderr and "optimisers" in done.stderr
    assert losses(tmp_path / "fork") == losses(tiny_run / "run")
    assert manifest(tmp_path / "fork")["checkpoint"] == "ppo/checkpoints/step-000002"


def test_changed_keys_count_from_the_step_of_the_fork(tiny_run: Path, tmp_path: Path) -> None:
    rlsp(
        *("run", tiny_run / "tiny.yaml", "--stage", "ppo", "ppo.kl_coef=50"),
        *("--from", f"{tiny_run / 'run'}@2", "--out", tmp_path / "fork"),
    )
    before, after = losses(tiny_run / "run"), losses(tmp_path / "fork")
    assert len(after) == 4 and after[:2] == before[:2]
    assert after[2] != before[2]  # the coefficient of the checkpoint would give the same


def test_a_final_model_is_taken_without_optimisers_and_that_is_said(
    tiny_run: Path, tmp_path: Path
) -> None:
    words = ["run", tiny_run / "tiny.yaml", "--from", tiny_run / "run", "--dry-run"]
    rlsp(*words, "--out", tmp_path / "fork")
    assert "saved without optimisers" in str(manifest(tmp_path / "fork")["taken"])

    job = json.loads((tmp_path / "fork" / "ppo" / "job.json").read_text())
    assert job["data"]["inputs"]["model"] == str(tiny_run / "run/ppo/checkpoints/final")


def test_a_dry_run_prints_the_stages_that_a_fork_would_train(
    tiny_run: Path, tmp_path: Path
) -> None:
    words = ["run", tiny_run / "tiny.yaml", "--from", f"{tiny_run / 'run'}@2", "--dry-run"]
    done = rlsp(*words, "--out", tmp_path / "fork")
    assert "/ppo/job.json" in done.stdout and "/sft/job.json" not in done.stdout


def test_a_section_that_is_left_out_is_named_once(tiny_run: Path) -> None:
    with pytest.raises(UsageError) as refused:
        fitted(find_fork(f"{tiny_run / 'run'}@2"), load_checked(tiny_run / "tiny.yaml", "sft=null"))
    assert "sft made the model" in str(refused.value) and "sft." not in str(refused.value)


def test_another_critic_leaves_the_optimisers_behind(tiny_run: Path) -> None:
    recipe = load_checked(tiny_run / "tiny.yaml", "ppo.critic=value_head")
    fork = fitted(find_fork(f"{tiny_run / 'run'}@2"), recipe)
    assert not fork.has_state and "ppo.critic" in fork.words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.special_tokens=['<a>']", "model.special_tokens made the model"),
        ("sft.epochs=3", "sft.epochs made the model"),
        ("ppo.steps=2", "step 2 is done"),
        ("ppo=null", "has no ppo"),
    ],
)
def test_what_was_trained_so_far_cannot_change(tiny_run: Path, change: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fitted(find_fork(f"{tiny_run / 'run'}@2"), load_checked(tiny_run / "tiny.yaml", change))


def test_a_step_without_a_checkpoint_is_refused_with_those_that_there_are(tiny_run: Path) -> None:
    with pytest.raises(UsageError, match="there are: 2, 4"):
        find_fork(f"{tiny_run / 'run'}@3")
    with pytest.raises(UsageError, match="is no step"):
        find_fork(f"{tiny_run / 'run'}@last")
    assert find_fork(f"{tiny_run / 'run'}@4").folder.name == "final"
