"""What OpenRLHF's options need beside OpenRLHF is in the lock for GPUs, and is looked for before a job starts."""

import subprocess
from pathlib import Path

import pytest

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.install import locks, pins
from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.openrlhf.needs import NEEDS
from tests.conftest import load_checked
from tests.test_openrlhf import RECIPE

pytestmark = pytest.mark.integration


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(
    ("overrides", "key", "module"),
    [
        (
            ["ppo.openrlhf.ring_attention=2", "ppo.openrlhf.packing=true"],
            "ppo.openrlhf.ring_attention",
            "ring_flash_attn",
        ),
        (
            ["ppo.openrlhf.extra={ds.use_liger_kernel: true}"],
            "ppo.openrlhf.extra.ds.use_liger_kernel",
            "liger_kernel",
        ),
        (
            ["ppo.openrlhf.extra={vllm.sync_with_ray: true}"],
            "ppo.openrlhf.extra.vllm.sync_with_ray",
            "cupy",
        ),
        (["model.attention=flash_attention_3"], "model.attention", "flash_attn_interface"),
        (["tracking.to=[wandb]"], "tracking.to", "wandb"),
    ],
)
def test_an_environment_without_what_an_option_needs_is_told_from_one_with_it(
    recipe_file: Path,
    openrlhf_environment: Environment,
    overrides: list[str],
    key: str,
    module: str,
) -> None:
    (problem,) = OpenRlhfBackend().missing_packages(
        load_checked(recipe_file, *overrides), "ppo", openrlhf_environment
    )
    assert problem.path == key and f"needs {module}" in str(problem)
    assert (
        OpenRlhfBackend().missing_packages(load_checked(recipe_file), "ppo", openrlhf_environment)
        == []
    )


def test_switched_off_an_option_needs_nothing(
    recipe_file: Path, openrlhf_environment: Environment
) -> None:
    recipe = load_checked(
        recipe_file,
        "ppo.openrlhf.extra={ds.use_liger_kernel: false}",
        "ppo.openrlhf.ring_attention=1",
    )
    assert OpenRlhfBackend().missing_packages(recipe, "ppo", openrlhf_environment) == []


def test_the_lock_for_gpus_has_what_openrlhfs_extras_name(
    openrlhf_environment: Environment,
) -> None:
    """And the modules that its options need, by the names of their packages."""
    ask = "import importlib.metadata as m; print(*m.requires('openrlhf'), sep='\\n')"
    asked = subprocess.run(
        [*openrlhf_environment.command, "-c", ask], capture_output=True, text=True, check=True
    )
    extras = {
        line.partition(";")[0].strip() for line in asked.stdout.splitlines() if "extra ==" in line
    }
    lock = next(pins(lock) for lock in locks("openrlhf") if lock.stem == "gpu")
    assert {name.partition("=")[0].partition(">")[0] for name in extras} <= lock.keys()
    packages = {name.replace("_", "-") for need in NEEDS for name in need.any_of if "/" not in name}
    assert packages - lock.keys() == {"flash-attn-interface", "cupy"}
