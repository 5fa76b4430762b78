"""Every command that the README and the pages of docs/ print works, on small runs and models."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, rlsp
from tests.documented.commands import FENCE, Command, Written, commands_of, steps_of
from tests.documented.folder import ANSWERS, furnish
from tests.openai_server import Server, chat, serving

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
KNOWN: dict[str, Any] = yaml.safe_load((ROOT / "tests/documented/commands.yaml").read_text())
LEFT_OUT = {command for commands in KNOWN["left out"].values() for command in commands}
RUNNING = [page for page in PAGES if {command.text for command in commands_of(page)} - LEFT_OUT]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    furnish(folder, tiny_run / "run")
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(lambda _: chat(f"add: Add the numbers.\nThe sum is {ANSWERS[0]}.")) as running:
        yield running


@pytest.mark.integration
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work(
    page: Path, furnished: Path, server: Server, tmp_path: Path
) -> None:
    shutil.copytree(furnished, tmp_path, dirs_exist_ok=True)
    for step in steps_of(page):
        if isinstance(step, Written):
            (tmp_path / step.name).parent.mkdir(exist_ok=True)
            (tmp_path / step.name).write_text(step.text)
        elif step.text not in LEFT_OUT:
            done = run_here(words_here(step, tmp_path, server), tmp_path)
            assert done.returncode == KNOWN["exits"].get(step.text, 0), step.text + done.stderr


def words_here(command: Command, folder: Path, server: Server) -> list[str]:
    """The words of a command, with our server in place of the page's, and as little to do as possible."""
    words = [re.sub(r"http://[\w.]+:8000/v1", server.url, word) for word in command.words]
    for pattern, more in KNOWN["smaller"].items():
        words += more.split() if re.match(pattern, command.text) else []
    place = words.index("--out") + 1 if "--out" in words else 0
    if place and (folder / words[place]).is_file():
        # A page may name a file more than once, and nothing is overwritten.
        words[place] = f"{mkdtemp(dir=folder)}/{words[place]}"
    return words


def run_here(words: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command; Python and what comes with it are those of this process."""
    if words[0] == "rlsp":
        return rlsp(*words[1:], cwd=folder, check=False)
    command = [sys.executable, "-m", *words] if words[0] == "pytest" else words
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_what_is_left_out_of_the_pages_is_in_a_page() -> None:
    printed = {command.text for page in PAGES for command in commands_of(page)}
    assert LEFT_OUT | set(KNOWN["exits"]) <= printed


@pytest.mark.parametrize("reason", [reason for reason in KNOWN["left out"] if "::" in reason])
def test_a_test_that_runs_what_is_left_out_exists(reason: str) -> None:
    file, _, name = reason.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_that_is_no_command_says_what_it_is(page: Path) -> None:
    for fence in FENCE.finditer(page.read_text()):
        assert fence["language"], fence["inside"]
