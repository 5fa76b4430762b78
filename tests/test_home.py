"""Files that a hosting service reads: they parse, and name what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlsp_cli import __version__
from tests.conftest import ROOT

FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
WORKFLOW = ROOT / ".github/workflows/ci.yml"


def read(path: Path) -> Any:
    # Not as YAML 1.1, in which the key `on` is the truth value.
    return yaml.load(path.read_text(), yaml.BaseLoader)


def test_the_workflow_runs_what_there_is_on_each_python_that_is_supported() -> None:
    workflow = read(WORKFLOW)
    assert set(workflow["on"]) == {"push", "pull_request"}

    matrix = workflow["jobs"]["unit"]["strategy"]["matrix"]
    lowest = re.search(r'requires-python = ">=(.+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest and matrix["python"][0] == lowest[1]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest"]

    runs = [s["run"] for job in workflow["jobs"].values() for s in job["steps"] if "run" in s]
    targets = re.findall(r"^(\w+(?: \w+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in runs:
        known = command.removeprefix("make ") in " ".join(targets).split()
        assert known or (ROOT / command).is_file(), command


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_each_field_of_an_issue_has_a_name_of_its_own(form: Path) -> None:
    ids = [field["id"] for field in read(form).get("body", ())]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[a-z]+", one) for one in ids)


def test_the_citation_has_the_version_and_the_paper() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == __version__ and citation["cff-version"] == "1.2.0"
    assert citation["references"][0]["url"] == "https://arxiv.org/abs/2502.06773"
