"""An SFT recipe in Axolotl's words. Every spelling of Axolotl's configuration is in this file and the next ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_cli.backends.axolotl.batch import accumulation_steps, world_size
from rlsp_cli.backends.axolotl.files import StageFiles
from rlsp_cli.backends.settings import Setting
from rlsp_cli.recipe.schema import Recipe, Sft

_LIGER = (
    "liger_rope",
    "liger_rms_norm",
    "liger_glu_activation",
    "liger_fused_linear_cross_entropy",
)
_DATA = ("source", "split", "rows", "options", "config", "prompt", "response", "messages")


def settings(
    recipe: Recipe, sft: Sft, files: StageFiles, resume: Path | None = None
) -> list[Setting]:
    """Everything that the configuration file holds, in its order, but for `sft.axolotl.extra`."""
    parts = (
        _model(recipe, files),
        _data(recipe, sft, files),
        _batch(recipe, sft),
        _optimiser(recipe, sft),
        _precision(recipe, sft),
        _adapters(recipe, sft),
        _sharding(recipe, sft, files),
        _plugins(sft),
        _saving(sft, files, resume),
        _trackers(recipe),
    )
    return [setting for part in parts for setting in part]


def attention(recipe: Recipe) -> str:
    """The attention implementation; sdpa needs no package, and packed examples do not see each other in any of them."""
    return "sdpa" if recipe.model.attention == "auto" else recipe.model.attention


def half_precision(recipe: Recipe) -> bool:
    """Whether the computation is in bfloat16."""
    gpu = recipe.cluster.gpus_per_node > 0
    return recipe.model.precision == "bfloat16" or (recipe.model.precision == "auto" and gpu)


def trained_in_float32(recipe: Recipe, sft: Sft) -> bool:
    """Whether the model is loaded in float32, as `templates/axolotl/rlsp_follow.py` sees to.

    DeepSpeed loads it in bfloat16 and keeps a float32 copy of its own; beside adapters the model is
    frozen.
    """
    return not half_precision(recipe) or (
        sft.axolotl.lora is None and not sft.axolotl.sharding.startswith("zero")
    )


def _model(recipe: Recipe, files: StageFiles) -> Iterator[Setting]:
    if recipe.model.from_scratch is not None:
        yield Setting("base_model", str(files.base), ("model.from_scratch", "seed"))
    else:
        name, _, revision = str(recipe.model.path).partition("@")
        yield Setting("base_model", name, ("model.path",))
        if revision:
            yield Setting("revision_of_model", revision, ("model.path",))
    yield Setting(
        "tokenizer_config", str(files.tokenizer), ("model.special_tokens", "model.chat_template")
    )
    yield Setting("attn_implementation", attention(recipe), ("model.attention",))


def _data(recipe: Recipe, sft: Sft, files: StageFiles) -> Iterator[Setting]:
    """Prompts and responses come as text with the prompt masked out: rendered as in PPO and evaluation."""
    form = {"ds_type": "json", "type": "input_output"}
    sources = (*(f"data.traces.{key}" for key in _DATA), "data.system", "data.template")
    yield Setting("datasets", [{"path": str(files.train), **form}], sources)
    if sft.val_rows:
        yield Setting(
            "test_datasets", [{"path": str(files.val), "split": "train", **form}], ("sft.val_rows",)
        )
        yield Setting("eval_steps", sft.val_every, ("sft.val_every",))
        yield Setting("eval_batch_size", sft.micro_batch, ("sft.micro_batch",), open=True)
        if sft.axolotl.packing:
            yield Setting("eval_sample_packing", False, ("sft.axolotl.packing",))
    yield Setting("dataset_prepared_path", str(files.prepared))
    yield Setting("train_on_inputs", False)
    yield Setting("sequence_len", sft.max_length, ("sft.max_length",))
    yield Setting("excess_length_strategy", "drop", ("sft.max_length",))
    yield Setting("sample_packing", sft.axolotl.packing, ("sft.axolotl.packing",))
    yield Setting("pad_to_sequence_len", sft.axolotl.packing, ("sft.axolotl.packing",), open=True)
    if sft.axolotl.packing and attention(recipe) == "sdpa" and trained_in_float32(recipe, sft):
        yield Setting(
            "sdpa_varlen", False, ("sft.axolotl.packing", "model.attention")
        )  # its kernel takes 16 bits only


def _batch(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    size = ("sft.batch", "sft.micro_batch", "cluster.nodes", "cluster.gpus_per_node")
    yield Setting("micro_batch_size", sft.micro_batch, ("sft.micro_batch",))
    yield Setting("gradient_accumulation_steps", accumulation_steps(recipe, sft), size)
    yield Setting("num_epochs", sft.epochs, ("sft.epochs",))
    if sft.max_steps is not None:
        yield Setting("max_steps", sft.max_steps, ("sft.max_steps",))
    if recipe.cluster.launcher == "ray":
        yield Setting("use_ray", True, ("cluster.launcher",))
        yield Setting("ray_num_workers", world_size(recipe), size[2:])
        yield Setting("resources_per_worker", {"GPU": 1}, ("cluster.gpus_per_node",))


def _optimiser(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    """The optimiser, and a schedule that ends where ours does."""
    fused = "adamw_torch_fused" if recipe.cluster.gpus_per_node else "adamw_torch"
    name = fused if sft.axolotl.optimizer == "adamw" else sft.axolotl.optimizer
    yield Setting("optimizer", name, ("sft.axolotl.optimizer", "cluster.gpus_per_node"), open=True)
    yield Setting("learning_rate", sft.learning_rate, ("sft.learning_rate",))
    yield Setting("adam_beta1", sft.betas[0], ("sft.betas",))
    yield Setting("adam_beta2", sft.betas[1], ("sft.betas",))
    yield Setting("weight_decay", sft.weight_decay, ("sft.weight_decay",))
    yield Setting("max_grad_norm", sft.grad_clip, ("sft.grad_clip",))
    scheduler, options = _scheduler(sft)
    sources = ("sft.schedule", "sft.min_lr_ratio")
    yield Setting("lr_scheduler", scheduler, sources, open=True)
    if options and "lr_scheduler" not in sft.axolotl.extra:  # another schedule takes other options
        yield Setting("lr_scheduler_kwargs", options, (*sources, "sft.learning_rate"), open=True)
    yield Setting("warmup_ratio", sft.warmup_ratio, ("sft.warmup_ratio",))
    yield Setting("seed", recipe.seed, ("seed",))


def _scheduler(sft: Sft) -> tuple[str, dict[str, Any]]:
    """Transformers' name of the schedule, and its options."""
    if sft.schedule == "constant":
        return "constant_with_warmup", {}
    if sft.schedule == "linear":  # a polynomial of power 1 is the line that may end above 0
        return "polynomial", {"lr_end": sft.learning_rate * sft.min_lr_ratio, "power": 1.0}
    return "cosine_with_min_lr", {"min_lr_rate": sft.min_lr_ratio}


def _precision(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    """Left out, Axolotl would choose half precision, and fail on a CPU."""
    gpu, checkpointing = recipe.cluster.gpus_per_node > 0, sft.axolotl.gradient_checkpointing
    yield Setting("bf16", half_precision(recipe), ("model.precision", "cluster.gpus_per_node"))
    yield Setting("fp16", False)
    yield Setting("tf32", gpu, ("cluster.gpus_per_node",), open=True)
    yield Setting(
        "gradient_checkpointing", checkpointing, ("sft.axolotl.gradient_checkpointing",), open=True
    )
    if checkpointing:
        options = {"use_reentrant": False}
        yield Setting(
            "gradient_checkpointing_kwargs",
            options,
            ("sft.axolotl.gradient_checkpointing",),
            open=True,
        )
    if not gpu:
        yield Setting("dataloader_pin_memory", False, ("cluster.gpus_per_node",), open=True)
        yield Setting("dataloader_num_workers", 0, ("cluster.gpus_per_node",), open=True)


def _adapters(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    if sft.axolotl.lora is None:
        return
    lora = sft.axolotl.lora
    yield Setting(
        "adapter",
        "qlora" if lora.bits == 4 else "lora",
        ("sft.axolotl.lora", "sft.axolotl.lora.bits"),
    )
    if lora.bits is not None:
        yield Setting(f"load_in_{lora.bits}bit", True, ("sft.axolotl.lora.bits",))
    yield Setting("lora_r", lora.rank, ("sft.axolotl.lora.rank",))
    yield Setting("lora_alpha", lora.alpha, ("sft.axolotl.lora.alpha",))
    yield Setting("lora_dropout", lora.dropout, ("sft.axolotl.lora.dropout",))
    if lora.targets:
        yield Setting("lora_target_modules", list(lora.targets), ("sft.axolotl.lora.targets",))
    else:
        yield Setting("lora_target_linear", True, ("sft.axolotl.lora.targets",))
    if recipe.model.special_tokens:  # the rows of new tokens are random until they are trained
        yield Setting(
            "lora_modules_to_save",
            ["embed_tokens", "lm_head"],
            ("model.special_tokens",),
            open=True,
        )
    if not recipe.cluster.gpus_per_node:
        for kernel in ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel"):
            yield Setting(kernel, False, ("cluster.gpus_per_node",), open=True)


def _sharding(recipe: Recipe, sft: Sft, files: StageFiles) -> Iterator[Setting]:
    if sft.axolotl.sharding.startswith("zero"):
        yield Setting("deepspeed", str(files.deepspeed), ("sft.axolotl.sharding",), open=True)
    elif sft.axolotl.sharding == "fsdp2":
        yield Setting("fsdp_version", 2, ("sft.axolotl.sharding",))
        options = {
            "offload_params": False,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "state_dict_type": "FULL_STATE_DICT",
            "reshard_after_forward": True,
        }
        yield Setting("fsdp_config", options, ("sft.axolotl.sharding",), open=True)


def _plugins(sft: Sft) -> Iterator[Setting]:
    names = ["rlsp_follow.Follow"]
    if "liger" in sft.axolotl.kernels:
        names.append("axolotl.integrations.liger.LigerPlugin")
        yield from (Setting(key, True, ("sft.axolotl.kernels",), open=True) for key in _LIGER)
    if "cut_cross_entropy" in sft.axolotl.kernels:
        names.append("axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin")
        yield Setting("cut_cross_entropy", True, ("sft.axolotl.kernels",))
    yield Setting("plugins", names, ("sft.axolotl.kernels",))


def _saving(sft: Sft, files: StageFiles, resume: Path | None) -> Iterator[Setting]:
    yield Setting("output_dir", str(files.output))
    yield Setting("save_steps", sft.save_every, ("sft.save_every",))
    yield Setting(
        "save_total_limit", 2, open=True
    )  # should the newest be half written, the one before is whole
    yield Setting("logging_steps", 1)
    if resume is not None:
        yield Setting("resume_from_checkpoint", str(resume))


def _trackers(recipe: Recipe) -> Iterator[Setting]:
    """Logins come from the environment; a configuration file is no place for secrets."""
    project = recipe.tracking.project or recipe.name
    keys = {
        "wandb": ("wandb_project", "wandb_name"),
        "mlflow": ("mlflow_experiment_name", "mlflow_run_name"),
        "trackio": ("trackio_project_name", "trackio_run_name"),
    }
    for name in recipe.tracking.to:
        yield Setting(f"use_{name}", True, ("tracking.to",))
        if name in keys:
            yield Setting(keys[name][0], project, ("tracking.project", "name"))
            yield Setting(keys[name][1], f"{recipe.name}-sft", ("name",))
