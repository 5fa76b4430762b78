"""Addresses of Ray clusters: what is taken, what is refused, and that no password is shown."""

import json
import sys
from pathlib import Path

import pytest

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.ray_address import is_dashboard, read_ray_address
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.launch.ray import package
from rlsp_cli.launch.ray.dashboard import Dashboard, UnreachableError
from rlsp_cli.launch.ray.node_check import answers
from rlsp_cli.launch.ray.package import pack
from rlsp_cli.launch.ray.wandb import wandb_login
from tests.conftest import load_checked, refusal

PASSWORDS = ["s\nec", "1sec/x", "12/sec", "/sec", "s?ec", "s#ec", "s\\ec", "sec @"]


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_JOB_HEADERS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_that_no_address_can_hold_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(UsageError, match="is no dashboard") as found:
        read_ray_address(f"http://me:{password}@head:8265", "RAY_ADDRESS")
    assert "ec" not in str(found.value).partition("is no")[0] and "\n" not in str(found.value)


@pytest.mark.parametrize("password", ["s@ec", "s%2Fec", "s%3Fec", "ß", "sec:x"])
def test_any_password_can_be_given_with_percent_signs(password: str) -> None:
    found = read_ray_address(f"https://me:{password}@head:8265/c1", "RAY_ADDRESS")
    assert found.url == "https://head:8265/c1" and found.headers["Authorization"].startswith(
        "Basic "
    )


@pytest.mark.parametrize(
    "address", ["http://a..b:1", f"http://{'a' * 70}:1", "http://h:1/ü", "http://h:1/a\0b"]
)
def test_an_address_that_no_request_can_have_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is no dashboard"):
        read_ray_address(address, "RAY_ADDRESS")


@pytest.mark.parametrize("name", ["", "a:b", "a b", "ä"])
def test_a_header_that_http_does_not_know_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_HEADERS", json.dumps({name: "x"}))
    with pytest.raises(NotReadyError, match="RAY_JOB_HEADERS: expected a JSON object"):
        read_ray_address("http://head:8265", "RAY_ADDRESS")


def test_an_address_of_the_loopback_in_ipv6_is_asked() -> None:
    with pytest.raises(UnreachableError, match=r"no Ray dashboard answers at http://\[::1\]:1: "):
        Dashboard(read_ray_address("http://[::1]:1", "RAY_ADDRESS").url).version()


def test_an_address_that_is_no_dashboard_is_refused_before_anything_starts(
    tiny_recipe: Path,
) -> None:
    assert is_dashboard("https://gateway/ray/c1")
    for address in ("auto", "ray://head:10001", "head:6379"):
        changes = [
            "sft=null",
            "ppo.backend=openrlhf",
            "ppo.critic=own",
            f"cluster.ray_address={address}",
        ]
        assert address in refusal(
            tiny_recipe, changes, "is no dashboard - give the address of its jobs API"
        )


@pytest.mark.integration
def test_a_ray_address_that_leads_nowhere_is_told_before_the_stages_before_ppo(
    tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = ["ppo.backend=openrlhf", "ppo.critic=own", "ppo.max_prompt_tokens=80"]
    environment = Environment("openrlhf", (sys.executable,), "0.11.2")
    monkeypatch.setenv("RAY_ADDRESS", "ray://me:sec@head:10001")
    with pytest.raises(
        UsageError, match=r"^RAY_ADDRESS: 'ray://\*\*\*@head:10001' is no dashboard"
    ):
        OpenRlhfBackend().missing_packages(load_checked(tiny_recipe, *fitting), "ppo", environment)
    slurm = load_checked(
        tiny_recipe,
        *fitting,
        "cluster={launcher: slurm, gpus_per_node: 1}",
        "model.attention=eager",
    )
    assert OpenRlhfBackend().missing_packages(slurm, "ppo", environment) == []


def test_the_nodes_answer_is_found_among_warnings_of_libraries() -> None:
    ((node, lacks),) = answers('warning: a\n[["10.0.0.1", []]]\n[W1 shutdown] b\n')
    assert node == "10.0.0.1" and lacks == []
    with pytest.raises(NotReadyError, match="could not be asked: no answer"):
        answers("warning: a\n")


@pytest.mark.parametrize("url", ["http://[::1", "wandb.example.com", "/"])
def test_a_wandb_address_without_a_server_is_told(url: str) -> None:
    with pytest.raises(NotReadyError, match="WANDB_BASE_URL: not the address of a server"):
        wandb_login({"WANDB_BASE_URL": url, "WANDB_API_KEY": "x"})


def test_a_package_that_rays_dashboard_would_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    size = len(pack(tmp_path, ["a.bin"])[1])
    monkeypatch.setattr(package, "_LARGEST", size - 1)
    with pytest.raises(NotReadyError, match=r"a\.bin pack to 0 MiB, and Ray's dashboard takes 0"):
        pack(tmp_path, ["a.bin"])
