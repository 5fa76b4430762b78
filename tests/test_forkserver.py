"""A forked command does what a process of its own does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.forkserver import the_server

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "tiny.yaml"], 0),
        (["check", "tiny.yaml", "ppo.setps=3"], 3),
        (["run", "tiny.yaml", "--out", "tiny.yaml"], 2),
        (["runs", "--no-such-option"], 2),
    ],
)
def test_code_and_words_are_those_of_a_process(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    forked = the_server().run(arguments, tmp_path)
    alone = subprocess.run(
        [sys.executable, "-m", "rlsp_cli", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert forked.returncode == alone.returncode == code
    assert (forked.stdout, forked.stderr) == (alone.stdout, alone.stderr)


def test_a_caller_with_other_variables_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert the_server().serves_us()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not the_server().serves_us()
