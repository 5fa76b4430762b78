"""Variables of a recipe for the processes of its jobs, on every backend."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import compile_stage
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.job import Job
from rlsp_cli.runs.paths import RunPaths
from tests.conftest import load_checked, refusal

SET = "cluster.env={NCCL_SOCKET_IFNAME: eth0, NCCL_IB_DISABLE: 1, HF_HOME: /shared/hub, NCCL_DEBUG: INFO}"
TEXTS = {
    "NCCL_SOCKET_IFNAME": "eth0",
    "NCCL_IB_DISABLE": "1",
    "HF_HOME": "/shared/hub",
    "NCCL_DEBUG": "INFO",
}
VERSIONS = {"openrlhf": "0.11.2", "axolotl": "0.19.0"}


def compiled(recipe: Path, stage: str, backend: str, *changes: str) -> Job:
    fitting = {"sft": ["sft.val_rows=0"], "ppo": ["ppo.critic=own", "ppo.max_prompt_tokens=80"]}[
        stage
    ]
    alone = {"sft": "ppo=null", "ppo": "sft=null"}[stage]
    loaded = load_checked(recipe, alone, f"{stage}.backend={backend}", *fitting, SET, *changes)
    environment = Environment(backend, ("/opt/python",), VERSIONS.get(backend, "0"))
    return compile_stage(loaded, stage, RunPaths(Path("/r")), environment)


@pytest.mark.parametrize(
    ("stage", "backend"), [("sft", "local"), ("sft", "axolotl"), ("ppo", "openrlhf")]
)
def test_a_jobs_commands_have_the_variables_of_the_recipe(
    tiny_recipe: Path, stage: str, backend: str
) -> None:
    job = compiled(tiny_recipe, stage, backend)
    assert job.env.items() >= TEXTS.items()


@pytest.mark.parametrize(
    ("stage", "backend"), [("sft", "local"), ("sft", "axolotl"), ("ppo", "openrlhf")]
)
def test_a_batch_script_exports_them(tiny_recipe: Path, stage: str, backend: str) -> None:
    job = compiled(tiny_recipe, stage, backend, "cluster={launcher: slurm, gpus_per_node: 1}")
    lines = job.files["job.sbatch"].splitlines()
    assert all(f"export {name}={value}" in lines for name, value in TEXTS.items())


def test_rays_workers_have_them_on_every_machine_and_openrlhfs_own_come_from_its_driver(
    tiny_recipe: Path,
) -> None:
    """Ray merges no variable that the job and OpenRLHF's own ray.init both give."""
    ray: dict[str, Any] = dict(compiled(tiny_recipe, "ppo", "openrlhf").inputs["ray"])
    rest = {name: value for name, value in TEXTS.items() if name != "NCCL_DEBUG"}
    assert ray["env"].items() >= rest.items() and "NCCL_DEBUG" not in ray["env"]
    assert ray["entrypoint"][:3] == ["env", "NCCL_DEBUG=INFO", "/opt/python"]
    sft = compiled(tiny_recipe, "sft", "axolotl", "cluster={launcher: ray, gpus_per_node: 1}")
    assert json.loads(sft.env["RAY_JOB_CONFIG_JSON_ENV_VAR"]) == {
        "runtime_env": {"env_vars": TEXTS}
    }


@pytest.mark.parametrize(
    "name",
    [
        "WANDB_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "OPENAI_APIKEY",
        "db_password",
        "GITHUB_PAT",
        "TOKEN1",
        "HTTP_AUTHORIZATION",
    ],
)
def test_secrets_are_refused_and_their_values_not_shown(tiny_recipe: Path, name: str) -> None:
    line = refusal(tiny_recipe, [f"cluster.env.{name}=abc123xyz"], "looks like a secret")
    assert f"cluster.env: {name} " in line and "abc123xyz" not in line


def test_passwords_in_addresses_are_refused_and_not_shown(tiny_recipe: Path) -> None:
    line = refusal(
        tiny_recipe, ["cluster.env.HTTPS_PROXY=http://me:abc123@proxy:80"], "holds a password"
    )
    assert "abc123" not in line
    line = refusal(tiny_recipe, ["cluster.ray_address=http://me:abc123@gw/ray"], "set RAY_ADDRESS")
    assert "abc123" not in line


@pytest.mark.parametrize(
    "name", ["RLSP_REWARD_URL", "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES", "WORLD_SIZE", "9LIVES"]
)
def test_names_that_the_launcher_sets_or_that_are_none_are_refused(
    tiny_recipe: Path, name: str
) -> None:
    assert f"{name}" in refusal(tiny_recipe, [f"cluster.env={{{name}: x}}"], "cluster.env: ")


@pytest.mark.parametrize(
    "name", ["TOKENIZERS_PARALLELISM", "NCCL_IB_PKEY", "HF_TOKEN_PATH", "VLLM_MAX_TOKENS"]
)
def test_names_that_only_look_a_little_like_secrets_are_taken(tiny_recipe: Path, name: str) -> None:
    assert load_checked(tiny_recipe, f"cluster.env.{name}=true").cluster.env == {name: "true"}


def test_a_value_that_no_process_can_have_is_refused_where_it_was_set(tiny_recipe: Path) -> None:
    line = refusal(tiny_recipe, ['cluster.env={A: "b\\0c"}'], "holds a NUL")
    assert "override #1 (cluster.env): " in line


@pytest.mark.parametrize(
    "address", ["http://me:abc123@h:8265", "http://h:8265?t=abc123", "http://h:8265#abc123"]
)
def test_an_address_that_may_hold_a_secret_is_refused_and_not_shown(
    tiny_recipe: Path, address: str
) -> None:
    assert "abc123" not in refusal(
        tiny_recipe, [f"cluster.ray_address={address}"], "may hold a secret"
    )
