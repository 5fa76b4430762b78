"""`rlsp runs diff`: what differs between two runs, causes before effects."""

import json
import shutil
from pathlib import Path

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.report.diff import diff_runs
from rlsp_cli.runs.run import create_run
from rlsp_cli.runs.stream import append_rows
from tests.conftest import load_checked, rlsp


def make_run(recipe: Path, root: Path, *overrides: str) -> Path:
    create_run(load_checked(recipe, *overrides), recipe, root)
    return root


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> Path:
    return make_run(tiny_recipe, tmp_path / "a")


def test_keys_that_differ_are_named_also_in_lists_and_sections_of_one_run(
    tiny_recipe: Path, tmp_path: Path, run: Path
) -> None:
    other = make_run(
        tiny_recipe, tmp_path / "b", "ppo.steps=3", "reward.exploration.0.scale=20", "seed=9"
    )
    changes = {change.key: (change.before, change.after) for change in diff_runs(run, other).recipe}
    assert changes == {
        "seed": (3, 9),
        "ppo.steps": (4, 3),
        "reward.exploration.0.scale": (10.0, 20.0),
    }


def test_another_version_and_another_file_of_data_are_told_apart(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "b"
    shutil.copytree(run, other)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    manifest["data"][2]["digest"] = "f" * 64
    (other / "manifest.json").write_text(json.dumps(manifest))

    found = diff_runs(run, other)
    assert [change.key for change in found.versions] == ["torch"]
    assert [change.key for change in found.data] == ["heldout 2"]
    assert not found.recipe


def test_a_curve_says_from_which_step_it_differs_and_leaves_time_out(
    run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "b"
    shutil.copytree(run, other)
    for root, late in ((run, 0.1), (other, 0.1 + 1e-15)):
        values = (0.3, 0.2, late)
        rows = [{"step": n, "loss": value, "same": 1.0} for n, value in enumerate(values)]
        append_rows(root / "sft" / "metrics.jsonl", [{**row, "time/s": late} for row in rows])

    loss, same = diff_runs(run, other).curves
    assert (loss.key, loss.first, loss.steps) == ("loss", 3, (3, 3))
    assert loss.mean[0] == pytest.approx(0.2)
    assert (same.key, same.first) == ("same", None)


def test_a_folder_that_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        diff_runs(run, tmp_path)


@pytest.mark.integration
def test_a_run_beside_itself_is_equal_to_the_last_digit(tiny_run: Path) -> None:
    run = tiny_run / "run"
    shown = rlsp("runs", "diff", run, run).stdout
    assert "the recipes are equal" in shown
    assert "4 of 4 scores are equal to the last digit" in shown

    data = json.loads(rlsp("runs", "diff", run, run, "--json").stdout)
    assert data["schema"] == "rlsp.runs-diff/1"
    assert {curve["first"] for curve in data["data"]["curves"]} == {None}
