"""PPO recipes as OpenRLHF jobs: what is compiled and refused, and what OpenRLHF's own parsers say."""

import json
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import backend_of, check, compile_stage, stages_of
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.openrlhf.checkpoint import choose, newest_checkpoint
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.backends.openrlhf.flags import TESTED, ask_parser, words
from rlsp_cli.backends.openrlhf.placement import Roles, roles
from rlsp_cli.backends.ray_job import RayJob
from rlsp_cli.backends.render import render_stage
from rlsp_cli.errors import UsageError
from rlsp_cli.preflight import inspect_recipe, read_recipe
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths, StagePaths
from tests.conftest import load_checked, refusal, rlsp

RECIPE = """\
schema_version: 1
name: job
model: {path: org/model}
data:
  prompts: {source: task:pair_sum, rows: 64}
  heldout: {source: task:pair_sum, split: test, rows: 8}
reward: {correctness: {use: exact_match}, exploration: {use: length}}
ppo: {backend: openrlhf, steps: 4, rollout_batch: 64, train_batch: 64, micro_batch: 2}
cluster: {gpus_per_node: 8}
"""
ASYNC = ("ppo.openrlhf.async_rollout=full", "ppo.openrlhf.placement.actor=4")
GROUPS = "ppo.samples_per_prompt=4"
SEPARATE = (GROUPS, "ppo.estimator=rloo", "ppo.advantages=separate", "ppo.critic_warmup_steps=0")
openrlhf = OpenRlhfBackend()
EVERY_OPTION = [
    ["ppo.openrlhf.placement.share=actor_reference", "cluster={nodes: 3, launcher: ray}"],
    [
        "ppo.openrlhf.placement={share: none, actor: 2, critic: 4}",
        "ppo.openrlhf.engines={count: 1, eager: true}",
    ],
    [
        "ppo.openrlhf.engines={tensor_parallel: 4, gpu_memory: 0.5, prefix_caching: true}",
        "ppo.openrlhf.sharding=zero3",
    ],
    ["ppo.estimator=reinforce", "ppo.kl_estimator=k2", "ppo.kl_coef=0.0"],
    ["ppo.estimator=reinforce_baseline", GROUPS, "ppo.kl_estimator=k3", "ppo.epochs=2"],
    [
        "ppo.estimator=rloo",
        GROUPS,
        "ppo.select={use: pass_rate, lo: 0.0, hi: 0.8}",
        "ppo.gamma=1.0",
    ],
    ["ppo.estimator=group_norm", GROUPS, "ppo.openrlhf.micro_rollout_batch=4"],
    [
        "ppo.estimator=dr_grpo",
        GROUPS,
        "ppo.openrlhf.async_rollout=partial",
        "ppo.openrlhf.placement={share: none, actor: 4}",
    ],
    ["ppo.openrlhf.async_rollout=full", "ppo.openrlhf.placement={actor: 4}"],
    [
        "ppo.rollout_correction=sequence",
        "ppo.clip_high=0.28",
        "ppo.dual_clip=3.0",
        "ppo.entropy_coef=0.001",
    ],
    [
        "ppo.openrlhf.packing=true",
        "ppo.openrlhf.ring_attention=2",
        "ppo.gradient_checkpointing=true",
    ],
    ["ppo.openrlhf.offload=[optimizer, reference]", "ppo.openrlhf.sharding=zero3"],
    ["ppo.openrlhf.sharding=zero1", "ppo.schedule=linear", "ppo.min_lr_ratio=0.0"],
    ["ppo.eval_every=2", "eval={benches: [heldout], samples: 4}", "ppo.schedule=constant"],
    ["tracking={to: [wandb, tensorboard], project: p}", "ppo.kl_target=0.1", "ppo.kl_horizon=1000"],
    ["cluster={gpus_per_node: 0}", "ppo.openrlhf.placement.share=actor_reference"],
    [
        "cluster={launcher: slurm, nodes: 2, slurm: {partition: gpu}}",
        "model.attention=flash_attention_2",
    ],
]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(RECIPE)
    return path


def read(recipe: Recipe, source: Path) -> dict[str, Any]:
    """What OpenRLHF's own parser makes of a compiled command."""
    argv = words(openrlhf.rendered(recipe, RunPaths(Path("/run"))))
    return ask_parser([sys.executable], str(source), argv)


@pytest.mark.integration
@pytest.mark.parametrize("overrides", EVERY_OPTION, ids=lambda o: o[0])
def test_every_option_compiles_to_a_command_that_the_real_parser_takes(
    recipe_file: Path, overrides: list[str], openrlhf_source: Path
) -> None:
    recipe = load_recipe(recipe_file, overrides, plugins=resolve_options)
    assert check(recipe) == []
    answer = read(recipe, openrlhf_source)
    assert "error" not in answer, answer


@pytest.mark.integration
@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_passes_the_real_parser(name: str, openrlhf_source: Path) -> None:
    recipe = load_recipe(shipped_recipes()[name], plugins=resolve_options)
    for stage in stages_of(recipe):
        if backend_of(recipe, stage).name == "openrlhf":
            answer = read(recipe, openrlhf_source)
            assert "error" not in answer and answer["warnings"] == [], answer


@pytest.mark.integration
def test_what_an_untested_version_refuses_names_the_tested_one(
    recipe_file: Path, openrlhf_environment: Environment
) -> None:
    untested = replace(openrlhf_environment, version="9.9.9")
    recipe = load_checked(recipe_file, "ppo.openrlhf.extra={actor.policy_loss_type: gspx}")
    (problem,) = openrlhf.check(recipe, "ppo", untested)
    assert "OpenRLHF 9.9.9 refuses its command" in str(problem) and f"install {TESTED[-1]}" in str(
        problem
    )


@pytest.mark.integration
def test_the_papers_values_arrive_in_openrlhf_as_they_are(
    recipe_file: Path, openrlhf_source: Path
) -> None:
    """Defaults that changed between versions are always given."""
    new = read(load_checked(recipe_file), openrlhf_source)["values"]
    assert new["algo.advantage.lambd"] == 0.95
    assert new["critic.value_clip"] == 0.2
    assert new["train.micro_batch_size"] == 2
    assert new["data.max_len"] == 2048 + 4096
    assert new["actor.adam.betas"] == [0.9, 0.95]
    assert new["critic.freezing_steps"] == 3  # OpenRLHF freezes one step more
    assert new["reward.clip_range"] == [-10.0, 10.0]
    assert new["critic.model_name_or_path"] == "org/model"


def test_a_container_that_rlsp_toml_names_is_refused_too(recipe_file: Path) -> None:
    environment = Environment("openrlhf", ("docker", "run", "image", "python"), "0.11.2")
    (problem,) = openrlhf.check(load_checked(recipe_file), "ppo", environment)
    assert problem.path == "backends.openrlhf.container"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["ppo.rollout_batch=60"], "the nearest"),
        (["ppo.train_batch=60"], "train_batch"),
        (["ppo.openrlhf.placement={share: none, actor: 9}"], "the cluster has 8"),
        (["ppo.openrlhf.engines.tensor_parallel=16"], "set it to at most 8"),
        (["ppo.openrlhf.engines={count: 3, tensor_parallel: 2}"], "tensor_parallel can be"),
        (["cluster={nodes: 2, launcher: local}"], "set it to ray or slurm"),
        (["cluster.launcher=torchrun"], "OpenRLHF runs on Ray"),
        (["backends.openrlhf={container: {image: openrlhf}}"], "does not start Ray in a container"),
        (["model.precision=float32"], "OpenRLHF trains in bfloat16"),
        (["ppo.critic=value_head"], "OpenRLHF's critic is a model of its own"),
        (["ppo.lora={}"], "OpenRLHF trains adapters, but vLLM knows no weights of their names"),
        (["ppo.decode_batch=8"], "ppo.decode_batch has no effect on"),
        (["ppo.whiten_advantages=false"], "OpenRLHF always whitens for gae"),
        (["ppo.schedule=linear"], "OpenRLHF's linear schedule ends at 0"),
        (["ppo.openrlhf.extra.vllm_num_engine=2"], "has no option --vllm_num_engine"),
        (["ppo.openrlhf.extra={rollout.temperature: 2}"], "rlsp sets this option from ppo.temperature"),
        (["ppo.openrlhf.packing=true", "model.attention=sdpa"], "packed responses would see each other"),
        (["ppo.openrlhf.ring_attention=2"], "set ppo.openrlhf.packing: true"),
        (["ppo.openrlhf.extra={actor.optim: muon}"], "set ppo.grad_clip: 1.0e+06"),
        (["ppo.openrlhf.extra={ckpt.max_num: 1}"], "set it to 2 or more"),
        (["ppo.openrlhf.extra={train.agent_func_path: agent.py}"], "agents are not supported"),
        (["ppo.openrlhf.extra={ckpt.path: x}"], "rlsp looks for checkpoints"),
        (["ppo.openrlhf.offload=[reference]"], "set ppo.openrlhf.sharding: zero3, or leave reference out"),
        (["ppo.openrlhf.offload=[optimizer]", "ppo.openrlhf.sharding=none"], "set ppo.openrlhf.sharding: zero2"),
        (["ppo.select={use: pass_rate}"], "set ppo.samples_per_prompt to 2 or more"),
        (["ppo.select={use: bon}"], "a band of mean correctness, which bon is not"),
        (["ppo.select={use: zero_variance}"], "use: pass_rate with lo: 0.001, hi: 0.999"),
        (["tracking.to=[mlflow]"], "OpenRLHF does not know mlflow"),
        (["reward.alpha={start: 0.5, end: 1.0}", *ASYNC], "async rollouts"),
        (["reward.exploration={use: code_steps, steps: {dense: true}}", *ASYNC],
         "dense rewards of steps need rollouts that are not asynchronous"),
        (["reward.exploration={use: code_steps, steps: {dense: true}}", *SEPARATE],
         "dense rewards of steps have no baseline of their own on OpenRLHF"),
        (["continuation={use: run_python}", *ASYNC], "needs rollouts that are not asynchronous"),
        (["reward.exploration={use: novelty}"], "compares the responses to one prompt"),
        (["model.path=org/model@v1"], "takes no revision"),
        (["model.special_tokens=[<think>]"], "adds no tokens"),
        (["ppo.openrlhf.extra={ds.lora.rank: 8}"], "cannot hand adapters over to vLLM"),
        (["ppo.value_coef=0.5"], "ppo.value_coef has no effect on"),
        (["data.heldout=null", "ppo.eval_every=2"], "give data.heldout"),
        (["ppo.backend=local", "cluster.gpus_per_node=1", "ppo.openrlhf.offload=[reference]"],
         "ppo.openrlhf.offload has no effect on"),
    ],
)  # fmt: skip
def test_what_would_go_wrong_later_is_refused_with_its_place(
    recipe_file: Path, overrides: list[str], words: str
) -> None:
    line = refusal(recipe_file, overrides, words)
    assert line.startswith(("override #", str(recipe_file), "job.yaml", "default"))


def test_what_is_experimental_is_noted_and_not_refused(recipe_file: Path) -> None:
    dense = "reward.exploration={use: code_steps, steps: {dense: true}}"
    recipe, path = read_recipe(str(recipe_file), [dense])
    notes = inspect_recipe(recipe, path, ["ppo"])
    assert any(
        "note: dense rewards of steps are experimental on OpenRLHF" in note for note in notes
    )


@pytest.mark.integration
def test_what_openrlhfs_parser_refuses_is_told_in_its_words(
    recipe_file: Path, openrlhf_environment: Environment
) -> None:
    recipe = load_checked(recipe_file, "ppo.openrlhf.extra={actor.policy_loss_type: gspx}")
    (problem,) = openrlhf.check(recipe, "ppo", openrlhf_environment)
    assert "refuses its command" in str(problem) and "gspx" in str(problem)


def test_a_job_is_made_of_our_driver_and_of_what_the_cluster_runs(recipe_file: Path) -> None:
    recipe = load_checked(recipe_file, "tracking.to=[wandb]")
    job = compile_stage(
        recipe, "ppo", RunPaths(Path("/run")), Environment("openrlhf", ("/env/python",), "0.11.2")
    )
    ray = RayJob.from_json(json.loads(job.to_json())["data"]["inputs"]["ray"])
    assert job.argv[-2:] == ("rlsp_cli.launch.ray", "/run/ppo/job.json") and job.stop_file == "stop"
    assert (
        ray.entrypoint[:3] == ("/env/python", "-m", "openrlhf.cli.train_ppo_ray")
        and ray.bundles == 8
    )
    assert ray.service and ray.service[-2:] == ("serve", "/run/ppo/job.json")
    assert (
        "WANDB_API_KEY" in ray.secrets and "RLSP_OPENRLHF_CPU" not in ray.env and ray.fake_gpus == 0
    )
    assert set(ray.ship) == set(
        job.files
    )  # and no data, which is named by its path: Ray carries 100 MiB at most
    assert (
        sum(map(len, job.files.values())) < 100_000 and "/run/ppo/prompts.jsonl" in ray.entrypoint
    )
    again = compile_stage(
        recipe, "ppo", RunPaths(Path("/run")), Environment("openrlhf", ("/env/python",), "0.11.2")
    )
    assert (
        ray.env["WANDB_RUN_ID"] == again.inputs["ray"]["env"]["WANDB_RUN_ID"]
        and ray.env["WANDB_RESUME"] == "allow"
    )
    other = compile_stage(
        recipe, "ppo", RunPaths(Path("/other")), Environment("openrlhf", ("/python",), "0.11.2")
    )
    assert ray.env["WANDB_RUN_ID"] != other.inputs["ray"]["env"]["WANDB_RUN_ID"]


@pytest.mark.integration
def test_without_a_stage_the_first_that_a_backend_runs_is_rendered(recipe_file: Path) -> None:
    sft = ["data.traces={source: task:pair_sum}", "sft.max_steps=1", "cluster.gpus_per_node=1"]
    assert render_stage(load_checked(recipe_file, *sft), None).backend == "openrlhf"
    lines = rlsp("render", "openrlhf_cpu", "--explain").stdout.splitlines()
    assert lines[0] == "# openrlhf 0.11.2"
    assert any(line.startswith("rollout.batch_size: 128  # ppo.rollout_batch (") for line in lines)
    assert "actor.eps_clip: 0.2  # ppo.clip (default)" in lines
    engines = next(line for line in lines if line.startswith("vllm.num_engines: "))
    assert "ppo.openrlhf.placement.share (" in engines and "default" not in engines, (
        "only what somebody wrote"
    )
    with pytest.raises(UsageError, match="sft runs on the local backend"):
        render_stage(load_checked(recipe_file, *sft, "ppo=null"), None)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ([], ("token", "clip", [1.0, 1.0])),  # measured, and every weight is 1
        ([*ASYNC], ("token", "clip", [0.0, 2.0])),
        (["ppo.openrlhf.async_rollout=partial", "ppo.openrlhf.placement.actor=4"], ("token", "clip", [0.0, 2.0])),
        ([*ASYNC, "ppo.rollout_correction=none"],
         ("token", "clip", [1.0, 1.0])),
        (["ppo.rollout_correction=icepop"], ("token", "mask", [0.5, 5.0])),
        (["ppo.rollout_correction=sequence"], ("seq", "mask", [0.5, 5.0])),
        (["ppo.openrlhf.extra={actor.policy_loss_type: gspo}"], ("off", "clip", [1.0, 1.0])),
        (["ppo.openrlhf.extra={actor.policy_loss_type: gspo}", "ppo.rollout_correction=tis"],
         ("token", "clip", [0.0, 2.0])),
    ],
)  # fmt: skip
def test_rollouts_of_another_policy_are_weighted_and_others_are_measured(
    recipe_file: Path, overrides: list[str], wanted: tuple[Any, ...], openrlhf_source: Path
) -> None:
    found = read(load_checked(recipe_file, *overrides), openrlhf_source)["values"]
    assert (
        tuple(
            found[f"algo.advantage.is_correction_{part}"] for part in ("level", "mode", "threshold")
        )
        == wanted
    )


@pytest.mark.integration
@pytest.mark.parametrize(
    ("overrides", "cached"),
    [
        ([], False),
        ([GROUPS], True),
        ([GROUPS, "ppo.openrlhf.engines.prefix_caching=false"], False),
        (["ppo.openrlhf.engines.prefix_caching=true"], True),
        ([GROUPS, *ASYNC], True),
        (
            [GROUPS, "ppo.openrlhf.async_rollout=partial", "ppo.openrlhf.placement.actor=4"],
            False,
        ),  # weights change within a response
    ],
)
def test_a_prompt_of_several_samples_is_read_once(
    recipe_file: Path, overrides: list[str], cached: bool, openrlhf_source: Path
) -> None:
    found = read(load_checked(recipe_file, *overrides), openrlhf_source)["values"]
    assert found["vllm.enable_prefix_caching"] is cached


def placed(recipe: Recipe) -> Roles:
    assert recipe.ppo
    return roles(recipe.ppo, recipe.cluster)


def test_models_share_gpus_as_the_recipe_says(recipe_file: Path) -> None:
    third = load_checked(
        recipe_file,
        "ppo.openrlhf.placement.share=actor_reference",
        "cluster={nodes: 3, launcher: ray}",
    )
    found = placed(third)
    assert (found.actor, found.reference, found.critic, found.engines, found.gpus) == (
        8,
        8,
        8,
        8,
        24,
    )
    large = load_checked(
        recipe_file,
        "ppo.openrlhf.placement.share=actor_reference",
        "cluster={nodes: 6, launcher: ray}",
        "ppo.openrlhf.engines.tensor_parallel=4",
    )
    assert (placed(large).actor, placed(large).engines) == (16, 4)
    assert [
        who for who, _ in placed(load_checked(recipe_file, "ppo.kl_coef=0.0")).placement_groups
    ] == ["actor + critic + engines"]


def _checkpoint(
    files: OpenRlhfFiles, model: str, step: int, ranks: int = 4, *, cut: bool = False
) -> None:
    """What a model's processes have written of a checkpoint; with `cut`, the last file by half."""
    folder = files.checkpoints / model / f"global_step{step}"
    folder.mkdir(parents=True)
    parts = [f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in range(ranks)]
    for name in ("mp_rank_00_model_states.pt", *parts):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("data", "x" * 1000)
    if cut:
        (folder / name).write_bytes((folder / name).read_bytes()[:500])


def _latest(files: OpenRlhfFiles, model: str, step: int) -> None:
    """DeepSpeed's word that a checkpoint is whole, which it writes last."""
    (files.checkpoints / model).mkdir(parents=True, exist_ok=True)
    (files.checkpoints / model / "latest").write_text(f"global_step{step}")


def _newest(files: OpenRlhfFiles) -> str | None:
    found = newest_checkpoint(files)
    return found.name if found else None


def test_a_checkpoint_counts_when_actor_and_critic_have_it_whole(tmp_path: Path) -> None:
    files = OpenRlhfFiles(StagePaths(tmp_path))
    assert newest_checkpoint(files) is None
    for model in ("_actor", "_critic"):
        _checkpoint(files, model, 8)
        _checkpoint(files, model, 16, cut=model == "_critic")
        _latest(files, model, 16)
    found = newest_checkpoint(files)
    assert found is not None and found.name == "global_step8"
    choose(files, found)
    assert {
        (files.checkpoints / model / "latest").read_text() for model in ("_actor", "_critic")
    } == {"global_step8"}


def test_a_checkpoint_that_processes_are_missing_from_does_not_count(tmp_path: Path) -> None:
    files = OpenRlhfFiles(StagePaths(tmp_path))
    _checkpoint(files, "_actor", 20)
    assert _newest(files) is None  # DeepSpeed has not said that it is whole
    _latest(files, "_actor", 20)
    _checkpoint(files, "_actor", 40, ranks=3)
    assert _newest(files) == "global_step20"
    _latest(files, "_actor", 10)  # whose folder is gone: nothing is left to compare with
    shutil.rmtree(files.checkpoints / "_actor" / "global_step20")
    assert _newest(files) is None
    _checkpoint(files, "_actor", 20)
    _checkpoint(files, "_actor", 60)
    _latest(files, "_actor", 60)
    assert _newest(files) == "global_step60"
    next((files.checkpoints / "_actor" / "global_step60").glob("*rank_2*")).unlink()
    assert _newest(files) == "global_step20"
    (files.checkpoints / "_critic").mkdir()  # as the setup of a job with a critic leaves it
    assert _newest(files) is None
    for step in (20, 40):
        _checkpoint(files, "_critic", step)
    _latest(files, "_critic", 40)
    assert _newest(files) == "global_step20"
