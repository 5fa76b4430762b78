"""Where a run begins: what a new folder holds, and which folder a resumed run takes."""

import json
from pathlib import Path

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.launch.start import Start, run_to_resume, starting_run
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.lock import locked
from tests.conftest import load_checked


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_checked(tiny_recipe)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in, for runs without `out`."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_new_run_holds_its_recipe_and_has_done_nothing(
    recipe: Recipe, tiny_recipe: Path, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    with starting_run(recipe, Start(root, source=tiny_recipe)) as run:
        assert run.recipe.digest == recipe.digest

    status = json.loads((root / "status.json").read_text())
    assert (root / "recipe.yaml").read_text() == tiny_recipe.read_text()
    assert (status["state"], status["stages"]) == ("planned", {})
    assert json.loads((root / "manifest.json").read_text())["recipe_digest"] == recipe.digest


def test_a_new_run_without_a_file_keeps_the_resolved_recipe(recipe: Recipe, tmp_path: Path) -> None:
    root = tmp_path / "run"
    with starting_run(recipe, Start(root)):
        assert (root / "recipe.yaml").read_text() == (root / "resolved.yaml").read_text()


def test_a_new_run_takes_no_folder_that_is_used(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with (
        pytest.raises(UsageError, match="this folder is used"),
        starting_run(recipe, Start(tmp_path / "run")),
    ):
        pytest.fail("it started")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_runs_that_start_in_one_second_have_folders_of_their_own(
    recipe: Recipe, here: Path
) -> None:
    roots = set()
    for _ in range(3):
        with starting_run(recipe, Start()) as run:
            roots.add(run.paths.root)
    assert len(roots) == 3
    assert {root.parent for root in roots} == {here / "runs" / "tiny"}


def test_a_resume_without_a_folder_takes_the_newest_run_of_the_name(
    recipe: Recipe, here: Path
) -> None:
    for name, created in [("old", "2026-01-01"), ("new", "2026-03-01"), ("older", "2025-01-01")]:
        with starting_run(recipe, Start(here / "runs" / "tiny" / name)) as run:
            manifest = json.loads(run.paths.manifest.read_text())
            run.paths.manifest.write_text(json.dumps({**manifest, "created": created}))

    with starting_run(recipe, Start(resume=True)) as run:
        assert run.paths.root.name == "new"


def test_a_resume_without_any_run_says_so(recipe: Recipe, here: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="runs/tiny: no run here"):
        run_to_resume(recipe, None)
    with pytest.raises(UsageError, match="not a run folder"):
        run_to_resume(recipe, tmp_path)


def test_a_resumed_run_without_its_manifest_gets_one(recipe: Recipe, tmp_path: Path) -> None:
    root = tmp_path / "run"
    with starting_run(recipe, Start(root)):
        pass
    (root / "manifest.json").unlink()
    with starting_run(recipe, Start(root, resume=True)) as run:
        assert run.paths.manifest.exists()


@pytest.mark.parametrize("resume", [False, True])
def test_no_other_process_writes_into_a_run_while_it_runs(
    resume: bool, recipe: Recipe, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    if resume:
        with starting_run(recipe, Start(root)):
            pass

    with (
        starting_run(recipe, Start(root, resume)),
        pytest.raises(UsageError, match="is writing here"),
        locked(root),
    ):
        pytest.fail("it was free")
