"""The hub's cache on this machine: which file of which revision, and what is no file."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from rlsp_cli.hub_cache import cached_file

OLD, NEW = "0" * 40, "1" * 40


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder of `org/name`, with a configuration at two commits, of which `main` is the newer."""
    folder = tmp_path / "models--org--name"
    for commit in (OLD, NEW):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(NEW)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return folder


def test_a_file_is_that_of_main_or_of_the_revision_after_the_at(model: Path) -> None:
    assert cached_file("org/name", "config.json") == model / "snapshots" / NEW / "config.json"
    old = cached_file(f"org/name@{OLD}", "config.json")
    assert old == model / "snapshots" / OLD / "config.json"


def test_there_is_none_of_another_model_revision_or_name(model: Path) -> None:
    assert cached_file("org/other", "config.json") is None
    assert cached_file("org/name@draft", "config.json") is None
    assert cached_file("org/name", "README.md") is None


def test_a_file_that_the_hub_is_known_not_to_have_is_none(model: Path) -> None:
    missing = model / ".no_exist" / NEW / "README.md"
    missing.parent.mkdir(parents=True)
    missing.touch()
    assert cached_file("org/name", "README.md") is None


def test_a_folder_has_no_file_in_the_cache(tmp_path: Path) -> None:
    assert cached_file(str(tmp_path), "config.json") is None
    assert cached_file("../models/mine", "config.json") is None
