"""What a run that goes on is held to: the recipe of the stages that have begun."""

import json
from pathlib import Path

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.launch.start import Start, starting_run
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.run import Run
from tests.conftest import load_checked


def start_run(
    recipe: Recipe, source: Path | None, out: Path, resume: bool, allow_changes: bool = False
) -> Run:
    """A run that nobody writes into any more."""
    with starting_run(recipe, Start(out, resume, allow_changes, source)) as run:
        return run


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> Path:
    """A run whose SFT has begun."""
    made = start_run(load_checked(tiny_recipe), tiny_recipe, tmp_path / "run", resume=False)
    (made.paths.stage("sft").root / "attempts" / "1").mkdir(parents=True)
    return made.paths.root


def test_a_stage_that_has_not_begun_may_change_and_the_manifest_says_so(
    tiny_recipe: Path, run: Path
) -> None:
    changed = load_checked(tiny_recipe, "ppo.steps=3", "eval.samples=4")
    assert start_run(changed, None, run, resume=True).recipe.digest == changed.digest
    (change,) = json.loads((run / "manifest.json").read_text())["changes"]
    assert change["keys"] == ["ppo.steps: 4 -> 3", "eval.samples: 2 -> 4"]
    assert "ppo" not in (run / "status.json").read_text()


def test_a_stage_may_be_added_or_left_out_before_it_begins(tiny_recipe: Path, run: Path) -> None:
    start_run(load_checked(tiny_recipe, "ppo=null"), None, run, resume=True)
    assert start_run(load_checked(tiny_recipe), None, run, resume=True).recipe.ppo is not None


@pytest.mark.parametrize(
    "change", ["sft.batch=8", "seed=4", "data.traces.rows=32", "reward.alpha=0.5"]
)
def test_what_a_begun_stage_or_several_stages_read_may_not(
    tiny_recipe: Path, run: Path, change: str
) -> None:
    recipe = load_checked(tiny_recipe, "ppo.steps=3", change)
    with pytest.raises(UsageError, match="--allow-changes") as error:
        start_run(recipe, None, run, resume=True)
    assert change.partition("=")[0] in str(error.value) and "ppo.steps" not in str(error.value)
    assert (
        start_run(recipe, None, run, resume=True, allow_changes=True).recipe.digest == recipe.digest
    )


def test_a_stage_that_has_begun_is_held_to_its_keys(tiny_recipe: Path, run: Path) -> None:
    (run / "ppo" / "attempts" / "1").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"ppo\.steps: 4 -> 3"):
        start_run(load_checked(tiny_recipe, "ppo.steps=3"), None, run, resume=True)
