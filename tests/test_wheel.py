"""The wheel, installed away from the checkout: what `pip install rlsp` gives."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.integration

ONE_STEP = [
    *(
        "data.traces.rows=64",
        "data.prompts.rows=64",
        "data.heldout.rows=4",
        "reward.workers=1",
        "sft.max_steps=1",
    ),
    *("ppo.steps=1", "ppo.rollout_batch=8", "ppo.train_batch=8", "ppo.max_new_tokens=16"),
    *("eval.limit=4", "eval.samples=1", "eval.max_new_tokens=16"),
]


def run(*command: object, cwd: Path) -> str:
    """Run a command outside the checkout; returns what it printed on stdout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("rlsp-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new environment that has the wheel, and borrows only the libraries from ours."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-index",
        "--no-deps",
        wheel,
        cwd=folder,
    )
    # A path file is read in the environment's own folder only: the checkout's editable install is
    # not followed.
    own = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).strip()
    (Path(own) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def test_the_wheel_holds_every_recipe_plugin_and_template(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = listed.stdout.splitlines()
    shared = [name for name in tracked if name.startswith(("recipes/", "plugins/", "templates/"))]
    assert shared and {f"rlsp_cli/_share/{name}" for name in shared} <= names
    assert {
        name for name in tracked if name.startswith("rlsp_cli/")
    } <= names  # the page's files too
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_the_installed_package_is_the_wheel_and_knows_its_recipes(
    installed: Path, tmp_path: Path
) -> None:
    where = run(
        installed / "python", "-c", "import rlsp_cli; print(rlsp_cli.__file__)", cwd=tmp_path
    ).strip()
    assert Path(where).is_relative_to(installed.parent)
    assert "quickstart" in run(installed / "rlsp", "recipes", "list", cwd=tmp_path)


def test_a_recipe_runs_to_its_report_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    run(installed / "rlsp", "run", "quickstart", *ONE_STEP, "--out", "out", cwd=tmp_path)
    assert (tmp_path / "out" / "report.html").stat().st_size > 0
