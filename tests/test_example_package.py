"""The package in examples/, installed as its README says, in an environment of its own."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documented.commands import commands_of

pytestmark = pytest.mark.integration

PACKAGE = ROOT / "examples" / "pair_tools"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that borrows rlsp and its libraries from ours."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    borrowed = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    (own,) = folder.glob("lib/python3*/site-packages")
    (own / "borrowed.pth").write_text("\n".join(borrowed))
    return folder / "bin" / "python"


def test_the_commands_of_its_readme_work(python: Path) -> None:
    # The build tool is ours too, and nothing is fetched.
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    for command in commands_of(ROOT / "examples" / "README.md"):
        program, *words = command.words
        module = {"rlsp": "rlsp_cli"}.get(program, program)
        more = offline if program == "pip" else []
        subprocess.run([python, "-m", module, *words, *more], cwd=PACKAGE, check=True)
