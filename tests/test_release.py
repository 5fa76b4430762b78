"""What a release refuses, and what it writes; `make release` is tried in a clone by hand."""

import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli import __version__
from tests.conftest import ROOT

FILES = ("CHANGELOG.md", "CITATION.cff", "rlsp_cli/__init__.py", ".ci/release.py")


@pytest.fixture
def release(tmp_path: Path) -> dict[str, Any]:
    """The functions of the script, in a repository with the files that it writes."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- News.\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    return runpy.run_path(str(tmp_path / ".ci/release.py"))


def tag(release: dict[str, Any], name: str) -> None:
    subprocess.run(["git", "tag", name], cwd=release["ROOT"], check=True)


def test_a_clean_tree_with_news_can_be_released(release: dict[str, Any]) -> None:
    assert release["refusal"]("9.0.0") is None
    assert release["refusal"](__version__) is None  # as the first release


@pytest.mark.parametrize(
    ("spoil", "version", "words"),
    [
        (lambda r: None, "9.0", "expected three numbers"),
        (lambda r: r["INIT"].write_text("dirty"), "9.0.0", "the tree has changes"),
        (lambda r: tag(r, "v9.0.0"), "9.0.0", "is there already"),
        (lambda r: tag(r, "v0.0.1"), __version__, f"is not above {__version__}"),
    ],
)
def test_what_stands_against_a_release_is_said(
    spoil: Callable[[dict[str, Any]], Any], version: str, words: str, release: dict[str, Any]
) -> None:
    spoil(release)
    assert words in str(release["refusal"](version))


def test_entries_get_the_version_and_leave_nothing_to_release(release: dict[str, Any]) -> None:
    release["write"]("9.0.0")
    text = release["CHANGELOG"].read_text()
    assert "## Unreleased\n\nNothing yet.\n\n## 9.0.0 (20" in text
    assert text.index("## 9.0.0") < text.index("- News.")
    assert release["current"]() == "9.0.0" and release["unreleased"]() == ""
    assert "\nversion: 9.0.0\n" in release["CITATION"].read_text()
