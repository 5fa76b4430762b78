"""Fixtures: data that lies beside the checkout, and recipes small enough for a test."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from rlsp_cli import preflight
from rlsp_cli.backends.environment import Environment, default_folder
from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.schema import Recipe
from tests.forkserver import the_server

ROOT = Path(__file__).parent.parent

TINY = """\
schema_version: 1
name: tiny
seed: 3
model:
  from_scratch: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_length: 96}
data:
  traces: {source: task:pair_sum, rows: 64}
  prompts: {source: task:pair_sum, rows: 64}
  heldout: {source: task:pair_sum, split: test, rows: 6}
reward:
  correctness: {use: exact_match}
  exploration: {use: length, scale: 10}
  workers: 1
sft: {max_steps: 4, epochs: 10, batch: 16, micro_batch: 8, learning_rate: 3.0e-3, save_every: 2, max_length: 96}
ppo:
  steps: 4
  rollout_batch: 16
  train_batch: 8
  micro_batch: 8
  max_new_tokens: 16
  critic_warmup_steps: 1
  learning_rate: 1.0e-3
  critic_learning_rate: 1.0e-3
  save_every: 2
eval: {samples: 2, max_new_tokens: 16}
"""


TIMEOUT_S = {"unit": 120, "integration": 1800, "nightly": 7200}
"""Seconds for a test of each tier on a busy machine, fixtures included; a test run alone then shows all stacks."""


def tier(item: pytest.Item) -> str:
    """The tier of a test; one without a marker is a unit test."""
    markers = {marker.name for marker in item.iter_markers()}
    return next((name for name in ("nightly", "integration") if name in markers), "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time that its tier has."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S[tier(item)]))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Leave the user's cache alone, here and in what tests start."""
    os.environ["RLSP_CACHE_DIR"] = str(tmp_path_factory.getbasetemp() / "cache")
    the_server()  # with this variable, and without those that a test sets for itself


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with AIME and MATH-500; tests that need it are skipped where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}")
    return folder


@pytest.fixture(scope="session")
def openrlhf_source() -> Path:
    """OpenRLHF's code in the environment that rlsp installs: made once on a machine and kept while its lock is."""
    rlsp("backends", "install", "openrlhf", "--profile", "cpu")
    (source,) = default_folder("openrlhf").glob("lib/python3*/site-packages/openrlhf")
    return source


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe file whose three stages take seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.yaml and `run`, its whole run: made once for all workers, and only read by tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    with FileLock(f"{folder}.lock"):
        if not (folder / "run" / "report.json").exists():
            folder.mkdir(exist_ok=True)
            (folder / "tiny.yaml").write_text(TINY)
            done = rlsp("run", "tiny.yaml", "--out", "run", "--json", cwd=folder)
            assert json.loads(done.stdout)["schema"] == "rlsp.report/1"
    return folder


@pytest.fixture(scope="session")
def openrlhf_environment() -> Environment:
    """OpenRLHF for the CPU: made once on a machine, in some minutes, and kept while its lock is the same."""
    state = json.loads(
        rlsp("backends", "install", "openrlhf", "--profile", "cpu", "--json").stdout
    )["data"]
    return Environment(
        "openrlhf", (str(default_folder("openrlhf") / "bin" / "python"),), state["version"]
    )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For models so small that several threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rlsp(
    *arguments: object, cwd: Path | None = None, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    words = [str(argument) for argument in arguments]
    if the_server().serves_us():
        done = the_server().run(words, cwd or Path.cwd())
    else:
        command = [sys.executable, "-m", "rlsp_cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def load_checked(path: Path, *overrides: str) -> Recipe:
    """A recipe that its backends take."""
    return preflight.load_checked(str(path), overrides)[0]


def refusal(path: Path, overrides: Sequence[str], words: str) -> str:
    """The line with these words among those that refuse a recipe."""
    with pytest.raises(RecipeError) as error:
        load_checked(path, *overrides)
    return next(line for line in str(error.value).splitlines() if words in line)


def free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Slurm of one machine, where Debian's packages are installed; who cannot start it skips its tests."""
    needed = ("munged", "slurmctld", "slurmd", "sbatch")
    if os.geteuid() != 0 or not all(shutil.which(name) for name in needed):
        pytest.skip("needs root and the packages slurmctld, slurmd, slurm-client, munge")
    folder, host = tmp_path_factory.mktemp("slurm"), socket.gethostname()
    folder.parent.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    (folder / "slurm.conf").write_text(
        f"ClusterName=test\nSlurmctldHost={host}\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n"
        f"AuthInfo=socket={folder}/munge.socket\nStateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n"
        f"SlurmctldPidFile={folder}/ctld.pid\nSlurmdPidFile={folder}/d.pid\nSlurmctldPort={free_port()}\n"
        f"SlurmdPort={free_port()}\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nReturnToService=2\n"
        f"SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nSlurmctldLogFile={folder}/ctld.log\n"
        f"SlurmdLogFile={folder}/d.log\nMpiDefault=none\nNodeName={host} CPUs={os.cpu_count()} State=UNKNOWN\n"
        f"PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
    )
    files = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munge.log"}
    files |= {"pid-file": "munge.pid", "seed-file": "munge.seed"}
    subprocess.run(
        ["munged", "--force", *(f"--{k}={folder / v}" for k, v in files.items())], check=True
    )
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    daemons = [
        subprocess.Popen(["slurmctld", "-D", "-c"], stderr=subprocess.DEVNULL),
        subprocess.Popen(["slurmd", "-D", "-N", host], stderr=subprocess.DEVNULL),
    ]
    while (
        "idle"
        not in subprocess.run(
            ["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False
        ).stdout
    ):
        assert all(daemon.poll() is None for daemon in daemons), (folder / "ctld.log").read_text()
        time.sleep(0.5)
    yield
    del os.environ["SLURM_CONF"]
    for daemon in daemons:
        daemon.terminate()
        daemon.wait()
    os.kill(int((folder / "munge.pid").read_text()), signal.SIGTERM)
