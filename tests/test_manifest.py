"""manifest.json: what it takes to have a run's numbers again."""

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from rlsp_cli import __version__
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs import manifest as module
from rlsp_cli.runs.manifest import manifest
from rlsp_cli.runs.shapes import Manifest
from tests.conftest import load_checked


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_checked(tiny_recipe)


def test_it_is_a_document_that_its_readers_take(recipe: Recipe) -> None:
    found = json.loads(json.dumps(manifest(recipe, "one")))
    Manifest.model_validate(found)
    assert (found["id"], found["name"], found["seed"]) == ("one", "tiny", 3)
    assert found["recipe_digest"] == recipe.digest


def test_it_names_versions_and_what_is_not_installed(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PACKAGES", ("pydantic", "no-such-package"))
    versions = manifest(recipe, "one")["versions"]
    assert (versions["rlsp"], versions["python"]) == (__version__, platform.python_version())
    assert versions["pydantic"][0].isdigit()
    assert versions["no-such-package"] == "not installed"


def test_every_plugin_is_named_once_with_its_digest(recipe: Recipe) -> None:
    plugins = manifest(recipe, "one")["plugins"]
    assert [(plugin["kind"], plugin["name"]) for plugin in plugins] == [
        ("verifier", "exact_match"),
        ("exploration_reward", "length"),
        ("task", "pair_sum"),
    ]
    assert all(plugin["digest"] and plugin["origin"] for plugin in plugins)


def test_a_plugin_of_ones_own_has_another_digest_when_it_changes(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    code = tmp_path / "mine.py"
    digests = set()
    for right in ("yes", "no"):
        code.write_text(
            "from rlsp_cli.rewards import Sample, verifier\n\n\n@verifier\n"
            f"def mine(sample: Sample) -> bool:\n    return sample.response == {right!r}\n"
        )
        recipe = load_checked(tiny_recipe, f"reward.correctness={{use: '{code}:mine'}}")
        digests.add(manifest(recipe, "one")["plugins"][0]["digest"])
    assert len(digests) == 2


def test_data_is_named_by_role_with_the_digest_of_its_file(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    data = tmp_path / "problems.jsonl"
    digests = []
    for answer in ("2", "3"):
        data.write_text(json.dumps({"problem": "1 + 1", "answer": answer}) + "\n")
        recipe = load_checked(tiny_recipe, f"data.heldout={{source: {data}}}")
        entries = {entry["role"]: entry for entry in manifest(recipe, "one")["data"]}
        assert list(entries) == ["traces", "prompts", "heldout"]
        assert entries["heldout"]["source"] == str(data)
        digests.append(entries["heldout"]["digest"])
    assert digests[0] != digests[1]


def test_git_says_the_commit_and_how_many_files_differ(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert manifest(recipe, "one")["git"] is None

    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        names = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        subprocess.run(["git", *names, *words], check=True)
    (folder / "new.txt").touch()
    git = manifest(recipe, "one")["git"]
    assert git["changed_files"] == 1
    assert len(git["commit"]) == 40


def test_without_git_there_is_no_commit(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert manifest(recipe, "one")["git"] is None


def test_nothing_secret_is_in_it(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "very-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = manifest(recipe, "one")
    assert "very-secret" not in json.dumps(found)
    assert found["machine"]["threads"] == "7"
    assert found["machine"]["cpus"] == os.cpu_count()
