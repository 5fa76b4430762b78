"""SFT recipes as Axolotl jobs: what is written, what is refused, where each key is from. Nothing is started here."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file

from rlsp_cli.backends import compile_stage
from rlsp_cli.backends.axolotl import AxolotlBackend
from rlsp_cli.backends.axolotl.checkpoint import newest_checkpoint
from rlsp_cli.backends.axolotl.conflicts import conflicts
from rlsp_cli.backends.axolotl.extra import ALLOWED
from rlsp_cli.backends.axolotl.keys import TESTED, known_keys, wrong_keys
from rlsp_cli.backends.environment import Environment, find_environment
from rlsp_cli.backends.render import render_stage
from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.data import trace_rows
from rlsp_cli.errors import DataError, JobError, NotReadyError, UsageError
from rlsp_cli.recipe.rows import Traces
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.runs.paths import RunPaths
from tests.conftest import load_checked, refusal
from tests.golden.write import golden_file, job_text

RECIPE = """\
schema_version: 1
name: job
model: {path: org/model@v1}
data: {traces: {source: task:pair_sum, rows: 64}}
sft: {backend: axolotl, batch: 64, micro_batch: 2}
cluster: {gpus_per_node: 8}
"""
EVERY_OPTION = [
    [
        "sft.lora={rank: 8, alpha: 16, dropout: 0.1}",
        "model.special_tokens=[<think>, </think>]",
    ],
    [
        "sft.lora={rank: 8, bits: 4, targets: [q_proj, v_proj]}",
        "sft.axolotl.packing=true",
        "sft.val_rows=8",
    ],
    [
        "sft.lora={bits: 8}",
        "sft.schedule=linear",
        "sft.max_steps=5",
        "sft.min_lr_ratio=0.0",
    ],
    [
        "sft.axolotl.sharding=zero1",
        "sft.axolotl.kernels=[liger]",
        "tracking={to: [wandb, mlflow, trackio, tensorboard]}",
    ],
    [
        "sft.axolotl.sharding=zero2",
        "sft.schedule=constant",
        "model.attention=eager",
        "sft.axolotl.packing=true",
    ],
    [
        "sft.axolotl.sharding=zero3",
        "sft.gradient_checkpointing=true",
        "sft.axolotl.optimizer=adamw_8bit",
        "cluster.launcher=torchrun",
    ],
    [
        "sft.axolotl.sharding=fsdp2",
        "sft.axolotl.kernels=[cut_cross_entropy]",
        "sft.axolotl.optimizer=muon",
        "cluster.launcher=accelerate",
    ],
    ["sft.axolotl.optimizer=paged_adamw_8bit", "sft.axolotl.packing=true"],
    ["model.attention=flash_attention_4", "sft.axolotl.packing=true", "sft.lora={rank: 8}"],
    [
        "cluster={nodes: 2, launcher: slurm, slurm: {partition: gpu, setup: module load cuda}}",
        "sft.micro_batch=4",
    ],
    ["cluster.launcher=ray", "model.attention=flex_attention", "sft.axolotl.packing=true"],
    [
        "cluster.gpus_per_node=0",
        "sft.lora={rank: 4}",
        "sft.axolotl.packing=true",
        "model.attention=eager",
    ],
    [
        "sft.axolotl.extra={neftune_noise_alpha: 5, save_total_limit: 5, lr_scheduler: rex, tf32: false}",
        "sft.axolotl.extra.optimizer=lion_32bit",
    ],
    ["sft.axolotl.extra={gradient_checkpointing: offload, activation_offloading: legacy}"],
    ["sft.axolotl.extra={fsdp_config: {offload_params: true}}", "sft.axolotl.sharding=fsdp2"],
    [
        "sft.axolotl.extra={deepspeed: {zero_optimization: {stage: 2}, bf16: {enabled: true}}}",
        "sft.axolotl.sharding=zero2",
    ],
    [
        "sft.axolotl.extra={peft_use_dora: true, loraplus_lr_ratio: 16, lora_modules_to_save: [lm_head]}",
        "sft.lora={rank: 4}",
    ],
]


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(RECIPE)
    return path


def config(recipe: Recipe) -> dict[str, Any]:
    """The configuration file as PyYAML, and so Axolotl, reads it."""
    environment = Environment("axolotl", ("python",), TESTED[-1])
    text = compile_stage(recipe, "sft", RunPaths(Path("/run")), environment).files["axolotl.yaml"]
    data: dict[str, Any] = yaml.safe_load(text)
    return data


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_compiles_to_the_text_that_is_kept_here(name: str) -> None:
    """`make golden` writes the texts anew; look at what changed before committing."""
    assert job_text(name) == golden_file(name).read_text()


@pytest.mark.parametrize("overrides", EVERY_OPTION, ids=lambda o: o[0])
def test_every_option_compiles_to_keys_that_the_tested_version_has(
    recipe_file: Path, overrides: list[str]
) -> None:
    recipe = load_checked(recipe_file, *overrides)
    environment = Environment("axolotl", ("python",), TESTED[-1])
    assert list(AxolotlBackend().check(recipe, "sft", environment)) == []
    assert list(wrong_keys(config(recipe), known_keys())) == []


def test_what_extra_says_of_a_mapping_is_merged_with_ours(recipe_file: Path) -> None:
    recipe = load_checked(
        recipe_file,
        "sft.axolotl.sharding=fsdp2",
        "sft.axolotl.extra={fsdp_config: {offload_params: true}}",
    )
    found = config(recipe)["fsdp_config"]
    assert found["offload_params"] is True and found["state_dict_type"] == "FULL_STATE_DICT"


def test_another_schedule_than_ours_gets_no_options_of_ours(recipe_file: Path) -> None:
    found = config(load_checked(recipe_file, "sft.axolotl.extra={lr_scheduler: rex}"))
    assert found["lr_scheduler"] == "rex" and "lr_scheduler_kwargs" not in found


def test_packing_needs_no_package_and_its_16_bit_kernel_is_off_for_float32_weights(
    recipe_file: Path,
) -> None:
    full = config(load_checked(recipe_file, "sft.axolotl.packing=true"))
    assert full["attn_implementation"] == "sdpa" and full["sdpa_varlen"] is False
    frozen = config(load_checked(recipe_file, "sft.axolotl.packing=true", "sft.lora={rank: 4}"))
    assert frozen["attn_implementation"] == "sdpa" and "sdpa_varlen" not in frozen


def test_a_version_that_does_not_isolate_packed_rows_under_sdpa_is_refused(
    recipe_file: Path,
) -> None:
    keys = {key: value for key, value in known_keys().items() if key != "sdpa_varlen"}
    recipe = load_checked(recipe_file, "sft.axolotl.packing=true")
    assert recipe.sft
    (problem,) = conflicts(recipe, recipe.sft, keys)
    assert problem.path == "sft.axolotl.packing" and "would see each other" in problem.message
    flash = load_checked(
        recipe_file, "sft.axolotl.packing=true", "model.attention=flash_attention_2"
    )
    assert flash.sft and list(conflicts(flash, flash.sft, keys)) == []


def test_every_key_that_extra_may_set_is_axolotls() -> None:
    assert set(known_keys()) >= ALLOWED


def test_what_pyyaml_reads_is_what_the_recipe_says(recipe_file: Path) -> None:
    found = config(
        load_checked(recipe_file, "sft.learning_rate=1e-5", "name=on", "sft.betas=[0.9, 0.95]")
    )
    assert found["learning_rate"] == 1e-5 and isinstance(found["learning_rate"], float)
    assert found["base_model"] == "org/model" and found["revision_of_model"] == "v1"
    assert found["gradient_accumulation_steps"] == 64 // (2 * 8)
    assert found["lr_scheduler_kwargs"] == {"min_lr_rate": 0.1}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["sft.axolotl.extra.micro_batch_sise=4"],
            'no key "micro_batch_sise" - did you mean "micro_batch_size"?',
        ),
        (
            ["sft.axolotl.extra={lr_groups: [{nam: x, lr: 1.0}]}"],
            'no key "lr_groups.nam" - did you mean "name"?',
        ),
        (["sft.batch=60"], "the nearest batches are 48, 64, 80"),
        (["sft.batch=72"], "the nearest batches are 48, 64, 80; or set sft.micro_batch to 1"),
        (["sft.axolotl.extra.learning_rate=1"], "rlsp sets this key from sft.learning_rate"),
        (["sft.batch=4"], "the nearest batches are 16, 32, 48"),
        (["sft.axolotl.extra.output_dir=/tmp"], "rlsp relies on its own value of this key"),
        (["sft.axolotl.extra.rl=dpo"], "may change the task"),
        (["sft.axolotl.extra.reward_model=true"], "may change the task"),
        (["sft.axolotl.extra.streaming=true"], "set data.traces instead"),
        (
            ["sft.axolotl.extra={special_tokens: {pad_token: x}}"],
            "set model.special_tokens instead",
        ),
        (["sft.axolotl.extra.adapter=lora"], "set sft.lora instead"),
        (["sft.axolotl.extra.hub_model_id=a/b"], "what is saved"),
        (["sft.axolotl.extra.context_parallel_size=2"], "Axolotl divides the batch by it"),
        (["sft.axolotl.extra.tensor_parallel_size=2"], "Axolotl divides the batch by it"),
        (["sft.axolotl.extra.peft_use_dora=true"], "give sft.lora"),
        (["sft.axolotl.extra={deepspeed: x.json}"], "set sft.axolotl.sharding instead"),
        (
            ["sft.axolotl.optimizer=muon", "sft.axolotl.sharding=zero2"],
            "does not work with DeepSpeed",
        ),
        (
            ["sft.axolotl.optimizer=adamw_8bit", "sft.axolotl.sharding=fsdp2"],
            "do not work with FSDP2",
        ),
        (
            ["sft.axolotl.extra.optimizer=muon", "sft.axolotl.sharding=zero1"],
            "does not work with DeepSpeed",
        ),
        (
            [
                "sft.axolotl.extra={fsdp_config: {state_dict_type: SHARDED_STATE_DICT}}",
                "sft.axolotl.sharding=fsdp2",
            ],
            "saved in pieces",
        ),
        (
            [
                "sft.axolotl.extra={deepspeed: {zero_optimization: {stage: 3}}}",
                "sft.axolotl.sharding=zero3",
            ],
            "would be saved empty",
        ),
        (
            [
                "sft.axolotl.extra={deepspeed: {zero_optimization: {stage: 3}}}",
                "sft.axolotl.sharding=zero2",
            ],
            "sft.axolotl.sharding says 2",
        ),
        (
            ["sft.axolotl.extra.deepspeed=/none.json", "sft.axolotl.sharding=zero2"],
            "no options of ZeRO (FileNotFoundError)",
        ),
        (
            ["cluster.gpus_per_node=0", "sft.axolotl.optimizer=adamw_8bit"],
            "sft.axolotl.optimizer needs GPUs",
        ),
        (["cluster.gpus_per_node=0", "model.precision=bfloat16"], "in bfloat16 on GPUs only"),
        (
            ["cluster.gpus_per_node=0", "model.attention=flex_attention"],
            "model.attention needs GPUs",
        ),
        (["sft.axolotl.kernels=[cut_cross_entropy]"], "needs hidden states in bfloat16"),
        (
            ["sft.backend=local", "cluster.gpus_per_node=1", "sft.axolotl.optimizer=muon"],
            "sft.axolotl.optimizer has no effect on",
        ),
        (
            ["cluster.gpus_per_node=0", "sft.axolotl.sharding=zero3"],
            "sft.axolotl.sharding needs GPUs",
        ),
        (
            ["cluster.gpus_per_node=0", "sft.lora.bits=4"],
            "sft.lora.bits needs GPUs",
        ),
        (["cluster.nodes=2"], "set it to torchrun, slurm or ray"),
        (["cluster={nodes: 2, launcher: torchrun}"], "set cluster.host"),
        (["cluster.slurm.partition=gpu"], "cluster.slurm.partition has no effect on"),
        (["cluster.host=a"], "cluster.host has no effect on"),
        (["sft.axolotl.kernels=[cut_cross_entropy]", "model.precision=float32"], "needs bfloat16"),
        (
            ["sft.backend=local", "sft.lora.bits=4", "cluster.gpus_per_node=1"],
            "the embedded engine keeps frozen weights in bfloat16 or float32",
        ),
        (["sft.lora.keep_adapter=true"], "rlsp keeps the merged model alone"),
        (
            ["sft.backend=local", "cluster.gpus_per_node=1", "model.attention=sdpa"],
            "model.attention has no effect on",
        ),
    ],
)
def test_what_would_go_wrong_later_is_refused_with_its_place(
    recipe_file: Path, overrides: list[str], words: str
) -> None:
    line = refusal(recipe_file, overrides, words)
    assert line.startswith(("override #", str(recipe_file), "job.yaml"))


def test_explain_names_the_line_the_override_and_the_default(recipe_file: Path) -> None:
    recipe = load_checked(recipe_file, "sft.learning_rate=1e-4")
    text = render_stage(recipe, "sft").text(recipe)
    line = {row.partition(":")[0]: row for row in text.splitlines()}
    assert (
        "sft.batch (" in line["gradient_accumulation_steps"]
        and "job.yaml:5:25)" in line["gradient_accumulation_steps"]
    )
    assert "sft.learning_rate (override #1 (sft.learning_rate))" in line["learning_rate"]
    assert line["weight_decay"].endswith("sft.weight_decay (default)") and line["fp16"].endswith(
        "set by rlsp"
    )


def test_slurm_gets_a_script_in_which_the_machines_meet_at_the_first(recipe_file: Path) -> None:
    slurm = "slurm: {partition: gpu, time: '10:00:00', options: [--mem=0], setup: module load cuda}"
    recipe = load_checked(
        recipe_file,
        f"cluster={{nodes: 4, launcher: slurm, {slurm}}}",
        "sft.batch=64",
        "sft.micro_batch=1",
    )
    job = compile_stage(
        recipe, "sft", RunPaths(Path("/run")), Environment("axolotl", ("/env/python",), TESTED[-1])
    )
    script = job.files["job.sbatch"]
    for line in (
        "#SBATCH --nodes=4",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --partition=gpu",
        "#SBATCH --mem=0",
    ):
        assert line in script.splitlines()
    assert (
        "module load cuda\nEND_OF_SETUP" in script
        and '--rdzv-endpoint "$RLSP_HEAD:29400"' in script
    )
    assert job.by_hand(Path("/run/sft"))[1] == ("sbatch", "/run/sft/job.sbatch")


def test_an_environment_is_the_recipes_or_that_of_rlsp_toml(
    tmp_path: Path, monkeypatch: Any, recipe_file: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(NotReadyError, match="rlsp backends install axolotl"):
        find_environment("axolotl")
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\n[ -z "$INSIDE" ] || echo 7.7.7\necho 9.9.9\n')
    fake.chmod(0o755)
    (tmp_path / "rlsp.toml").write_text(f'[backends.axolotl]\npython = "{fake}"\n')
    assert find_environment("axolotl").version == "9.9.9"
    image = f"backends.axolotl={{python: {fake}, container: {{image: INSIDE=yes, command: 'env {{image}}'}}}}"
    inside = find_environment("axolotl", load_checked(recipe_file, image))
    assert inside.command == ("env", "INSIDE=yes", str(fake)) and inside.version.startswith("7.7.7")
    (tmp_path / "rlsp.toml").write_text("[backends.axolotl]\npyton = 'x'\n")
    with pytest.raises(UsageError, match=r"rlsp\.toml: backends\.pyton"):
        find_environment("axolotl")


def test_a_model_that_is_not_whole_is_refused_with_the_tensor(tmp_path: Path) -> None:
    import torch

    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4)}, tmp_path / "model.safetensors")
    assert tensor_shapes(tmp_path) == {"a": [2, 3], "b": [4]}
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-4])
    with pytest.raises(JobError, match="cut short"):
        tensor_shapes(tmp_path)
    save_file({"a": torch.zeros(0, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(JobError, match="tensor a is empty"):
        tensor_shapes(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "gone.safetensors"}}'
    )
    with pytest.raises(JobError, match=r"gone\.safetensors"):
        tensor_shapes(tmp_path)


def test_the_newest_whole_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    import torch

    for step in (9, 10, 100):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("optimizer.pt", "scheduler.pt"):
            (folder / name).write_bytes(b"x")
        (folder / "trainer_state.json").write_text("{}")
        save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    (tmp_path / "checkpoint-100" / "trainer_state.json").write_text("{")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / "optimizer.pt").unlink()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert newest_checkpoint(tmp_path / "none") is None


def test_each_assistant_turn_of_a_conversation_is_a_trace_with_what_came_before(
    tmp_path: Path,
) -> None:
    source = tmp_path / "chat.jsonl"
    turns = '[{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}, {"role": "user", "content": "+1?"}'
    source.write_text(f'{{"chat": {turns}, {{"role": "assistant", "content": "3"}}]}}\n')
    first, second = trace_rows(Traces(source=str(source), messages="chat"))
    assert (first.response, first.turns) == ("2", (("user", "1+1?"),))
    assert (second.response, second.turns[-1], len(second.turns)) == ("3", ("user", "+1?"), 3)
    source.write_text('{"chat": [{"role": "user", "content": "x"}]}\n')
    with pytest.raises(DataError, match=r"chat\.jsonl:1"):
        trace_rows(Traces(source=str(source), messages="chat"))
