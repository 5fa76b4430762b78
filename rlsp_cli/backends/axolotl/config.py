"""An SFT recipe as Axolotl's configuration file.

The keys are those of `AxolotlInputConfig` (axolotl/utils/schemas/config.py); no other file of rlsp
writes them, except the lists of what `sft.axolotl.extra` may set.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rlsp_cli.backends.axolotl.batch import accumulation_steps, world_size
from rlsp_cli.backends.axolotl.files import AxolotlFiles
from rlsp_cli.backends.sections import data_keys
from rlsp_cli.backends.settings import Setting
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft

_GPUS = "cluster.gpus_per_node"
_DATA = (
    "source",
    "split",
    "rows",
    "options",
    "config",
    "prompt",
    "response",
    "messages",
    "row",
    "weight",
)
_STEPS = (
    "source",
    "split",
    "rows",
    "options",
    "config",
    "prompt",
    "completions",
    "labels",
    "separator",
    "row",
)
_PAIRS = (
    *("source", "split", "rows", "options", "config", "row"),
    *("prompt", "chosen", "rejected"),
)
_CHECKPOINTS_KEPT = 2
"""If a crash leaves the newest half written, the one before it is whole."""
_LIGER = (
    "liger_rope",
    "liger_rms_norm",
    "liger_glu_activation",
    "liger_fused_linear_cross_entropy",
)
_LORA_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")


def settings(
    recipe: Recipe, sft: Sft, files: AxolotlFiles, resume: Path | None = None
) -> list[Setting]:
    """The configuration file in its order, without `sft.axolotl.extra`."""
    parts = (
        _model(recipe, files),
        _objective(sft),
        _data(recipe, sft, files),
        _packing(recipe, sft),
        _batch(recipe, sft),
        _optimiser(recipe, sft),
        _precision(recipe, sft),
        _adapters(recipe, sft),
        _sharding(sft, files),
        _plugins(sft),
        _saving(sft, files, resume),
        _trackers(recipe),
    )
    return list(chain(*parts))


def attention(recipe: Recipe) -> str:
    """The attention implementation; `auto` is sdpa, the fastest that needs no further package."""
    return "sdpa" if recipe.model.attention == "auto" else recipe.model.attention


def half_precision(recipe: Recipe) -> bool:
    """Whether the computation is in bfloat16."""
    if recipe.model.precision == "auto":
        return recipe.cluster.gpus_per_node > 0
    return recipe.model.precision == "bfloat16"


def trained_in_float32(recipe: Recipe, sft: Sft) -> bool:
    """Whether the trained weights are float32; `templates/axolotl/rlsp_follow.py` loads them so."""
    if not half_precision(recipe):
        return True

    # DeepSpeed keeps a float32 copy of its own, and beside adapters the model is frozen.
    return sft.lora is None and not sft.axolotl.sharding.startswith("zero")


def _own(*names: str) -> tuple[str, ...]:
    """Recipe keys that Axolotl alone reads."""
    return tuple(f"sft.axolotl.{name}" for name in names)


def _model(recipe: Recipe, files: AxolotlFiles) -> Iterator[Setting]:
    if recipe.model.from_scratch is not None:
        yield Setting("base_model", str(files.base), ("model.from_scratch", "seed"))
    else:
        name, _, revision = str(recipe.model.path).partition("@")
        yield Setting("base_model", name, ("model.path",))
        if revision:
            yield Setting("revision_of_model", revision, ("model.path",))

    # Our setup writes the tokenizer: Axolotl's own ways to add tokens and templates would
    # encode prompts by another rule than PPO and evaluation.
    tokenizer = ("model.special_tokens", "model.chat_template")
    yield Setting("tokenizer_config", str(files.tokenizer), tokenizer)
    yield Setting("attn_implementation", attention(recipe), ("model.attention",))


def _objective(sft: Sft) -> Iterator[Setting]:
    """What is trained and how, if it is not a language model by cross-entropy."""
    if sft.kind == "dpo":
        yield Setting("rl", "dpo", ("sft.kind",))
        yield Setting("rl_beta", sft.dpo_beta, ("sft.dpo_beta",))

    # A classifier of tokens instead of a language model, for a process reward model.
    if sft.kind == "prm":
        yield Setting("process_reward_model", True, ("sft.kind",))
        yield Setting("model_type", "AutoModelForTokenClassification", ("sft.kind",))
        yield Setting("num_labels", 2, ("sft.kind",))


def _text_form(recipe: Recipe) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Examples as text segments with a label each (axolotl/prompt_strategies/input_output.py).

    Not as conversations: Axolotl would render those by its chat templates, some of which cut the
    thinking out of assistant turns.
    """
    sources = (*data_keys(recipe, "traces", _DATA), "data.system", "data.template")
    return {"ds_type": "json", "type": "input_output"}, sources


def _steps_form(recipe: Recipe) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Steps with a label each (axolotl/prompt_strategies/stepwise_supervised.py)."""
    assert recipe.data.steps, "checked by the recipe"
    form = {
        "ds_type": "json",
        "split": "train",
        "type": "stepwise_supervised",
        "step_separator": recipe.data.steps.separator,
    }
    return form, data_keys(recipe, "steps", _STEPS)


def _pairs_form(recipe: Recipe) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Texts as they are (axolotl/prompt_strategies/dpo/user_defined.py), and not conversations."""
    texts = {name: f"{{{name}}}" for name in ("prompt", "chosen", "rejected")}
    fields = {f"field_{name}": name for name in texts}
    formats = {f"{name}_format": text for name, text in texts.items()}

    sources = (*data_keys(recipe, "pairs", _PAIRS), "data.system", "data.template")
    return {"ds_type": "json", "split": "train", "type": {**fields, **formats}}, sources


_FORMS = {"sft": _text_form, "prm": _steps_form, "dpo": _pairs_form}


def _data(recipe: Recipe, sft: Sft, files: AxolotlFiles) -> Iterator[Setting]:
    form, sources = _FORMS[sft.kind](recipe)
    yield Setting("datasets", [{"path": str(files.train), **form}], sources)

    if sft.val_rows:
        # Not `val_set_size`: Axolotl would draw other examples than the embedded engine does.
        val = [{"path": str(files.val), "split": "train", **form}]
        yield Setting("test_datasets", val, ("sft.val_rows",))
        yield Setting("eval_steps", sft.val_every, ("sft.val_every",))
        yield Setting("eval_batch_size", sft.micro_batch, ("sft.micro_batch",), open=True)
        if sft.axolotl.packing:
            yield Setting("eval_sample_packing", False, _own("packing"))

    yield Setting("dataset_prepared_path", str(files.prepared))
    yield Setting("train_on_inputs", False)

    # A truncated trace would teach the model to stop in the middle of a thought.
    yield Setting("sequence_len", sft.max_length, ("sft.max_length",))
    yield Setting("excess_length_strategy", "drop", ("sft.max_length",))


def _packing(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    packing = sft.axolotl.packing
    yield Setting("sample_packing", packing, _own("packing"))
    yield Setting("pad_to_sequence_len", packing, _own("packing"), open=True)

    # Axolotl's kernel that keeps packed examples apart under sdpa takes 16-bit tensors only;
    # without it a mask keeps them apart.
    if packing and attention(recipe) == "sdpa" and trained_in_float32(recipe, sft):
        yield Setting("sdpa_varlen", False, (*_own("packing"), "model.attention"))


def _batch(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    processes = ("cluster.nodes", _GPUS)
    size = ("sft.batch", "sft.micro_batch", *processes)
    yield Setting("micro_batch_size", sft.micro_batch, ("sft.micro_batch",))
    yield Setting("gradient_accumulation_steps", accumulation_steps(recipe, sft), size)

    yield Setting("num_epochs", sft.epochs, ("sft.epochs",))
    if sft.max_steps is not None:
        yield Setting("max_steps", sft.max_steps, ("sft.max_steps",))

    if recipe.cluster.launcher == "ray":
        yield Setting("use_ray", True, ("cluster.launcher",))
        yield Setting("ray_num_workers", world_size(recipe), processes)
        yield Setting("resources_per_worker", {"GPU": 1}, (_GPUS,))


def _optimiser(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    fused = "adamw_torch_fused" if recipe.cluster.gpus_per_node else "adamw_torch"
    name = fused if sft.axolotl.optimizer == "adamw" else sft.axolotl.optimizer
    yield Setting("optimizer", name, (*_own("optimizer"), _GPUS), open=True)
    yield Setting("learning_rate", sft.learning_rate, ("sft.learning_rate",))
    yield Setting("adam_beta1", sft.betas[0], ("sft.betas",))
    yield Setting("adam_beta2", sft.betas[1], ("sft.betas",))
    yield Setting("weight_decay", sft.weight_decay, ("sft.weight_decay",))
    yield Setting("max_grad_norm", sft.grad_clip, ("sft.grad_clip",))

    scheduler, options = _scheduler(sft)
    sources = ("sft.schedule", "sft.min_lr_ratio")
    yield Setting("lr_scheduler", scheduler, sources, open=True)
    # These options fit the schedule above: a schedule of the user's own takes others.
    if options and "lr_scheduler" not in sft.axolotl.extra:
        yield Setting("lr_scheduler_kwargs", options, (*sources, "sft.learning_rate"), open=True)

    yield Setting("warmup_ratio", sft.warmup_ratio, ("sft.warmup_ratio",))
    yield Setting("seed", recipe.seed, ("seed",))


def _scheduler(sft: Sft) -> tuple[str, dict[str, Any]]:
    """The schedule of the embedded engine as a `SchedulerType` of transformers, and its options."""
    if sft.schedule == "constant":
        return "constant_with_warmup", {}

    # The scheduler called `linear` always ends at 0; a polynomial of power 1 is a line to any end.
    if sft.schedule == "linear":
        return "polynomial", {"lr_end": sft.learning_rate * sft.min_lr_ratio, "power": 1.0}
    return "cosine_with_min_lr", {"min_lr_rate": sft.min_lr_ratio}


def _precision(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    gpu, checkpointing = recipe.cluster.gpus_per_node > 0, sft.gradient_checkpointing
    sources = ("sft.gradient_checkpointing",)

    # Without these two Axolotl chooses half precision, which fails on a CPU.
    yield Setting("bf16", half_precision(recipe), ("model.precision", _GPUS))
    yield Setting("fp16", False)

    yield Setting("tf32", gpu, (_GPUS,), open=True)
    yield Setting("gradient_checkpointing", checkpointing, sources, open=True)
    if checkpointing:
        # Reentrant checkpoints lose the gradient where no input asks for one, as beside adapters.
        options = {"use_reentrant": False}
        yield Setting("gradient_checkpointing_kwargs", options, sources, open=True)

    if not gpu:
        yield Setting("dataloader_pin_memory", False, (_GPUS,), open=True)
        yield Setting("dataloader_num_workers", 0, (_GPUS,), open=True)


def _adapters(recipe: Recipe, sft: Sft) -> Iterator[Setting]:
    lora = sft.lora
    if lora is None:
        return

    # Axolotl quantises to 4 bits for `qlora` alone, and to 8 for `lora` alone.
    adapter = "qlora" if lora.bits == 4 else "lora"
    yield Setting("adapter", adapter, ("sft.lora", "sft.lora.bits"))
    if lora.bits is not None:
        yield Setting(f"load_in_{lora.bits}bit", True, ("sft.lora.bits",))
    yield Setting("lora_r", lora.rank, ("sft.lora.rank",))
    yield Setting("lora_alpha", lora.alpha, ("sft.lora.alpha",))
    yield Setting("lora_dropout", lora.dropout, ("sft.lora.dropout",))

    if lora.targets:
        yield Setting("lora_target_modules", list(lora.targets), ("sft.lora.targets",))
    else:
        yield Setting("lora_target_linear", True, ("sft.lora.targets",))

    # New tokens have random rows in both matrices, which adapters would leave random.
    if recipe.model.special_tokens:
        whole = ["embed_tokens", "lm_head"]
        yield Setting("lora_modules_to_save", whole, ("model.special_tokens",), open=True)

    # Left out, Axolotl switches its Triton kernels on, also where there is no GPU.
    if not recipe.cluster.gpus_per_node:
        for kernel in _LORA_KERNELS:
            yield Setting(kernel, False, (_GPUS,), open=True)


def _sharding(sft: Sft, files: AxolotlFiles) -> Iterator[Setting]:
    sources = _own("sharding")
    if sft.axolotl.sharding.startswith("zero"):
        yield Setting("deepspeed", str(files.deepspeed), sources, open=True)
    elif sft.axolotl.sharding == "fsdp2":
        options = {
            "offload_params": False,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "state_dict_type": "FULL_STATE_DICT",  # shards are no model that can be published
            "reshard_after_forward": True,
        }
        yield Setting("fsdp_version", 2, sources)  # a config without a version is FSDP1
        yield Setting("fsdp_config", options, sources, open=True)


def _plugins(sft: Sft) -> Iterator[Setting]:
    kernels, sources = sft.axolotl.kernels, _own("kernels")
    plugins = ["rlsp_follow.Follow"]

    if "liger" in kernels:
        plugins.append("axolotl.integrations.liger.LigerPlugin")
        for key in _LIGER:
            yield Setting(key, True, sources, open=True)
    if "cut_cross_entropy" in kernels:
        plugins.append("axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin")
        yield Setting("cut_cross_entropy", True, sources)

    yield Setting("plugins", plugins, sources)


def _saving(sft: Sft, files: AxolotlFiles, resume: Path | None) -> Iterator[Setting]:
    yield Setting("output_dir", str(files.output))
    yield Setting("save_steps", sft.save_every, ("sft.save_every",))
    yield Setting("save_total_limit", _CHECKPOINTS_KEPT, open=True)
    yield Setting("logging_steps", 1)  # metrics.jsonl has a row for each step
    if resume is not None:
        yield Setting("resume_from_checkpoint", str(resume))


def _trackers(recipe: Recipe) -> Iterator[Setting]:
    """Trackers to switch on. Logins come from the environment: this file is no place for secrets."""
    project = recipe.tracking.project or recipe.name
    keys = {
        "wandb": ("wandb_project", "wandb_name"),
        "mlflow": ("mlflow_experiment_name", "mlflow_run_name"),
        "trackio": ("trackio_project_name", "trackio_run_name"),
    }
    for tracker in recipe.tracking.to:
        yield Setting(f"use_{tracker}", True, ("tracking.to",))
        if tracker in keys:
            project_key, run_key = keys[tracker]
            yield Setting(project_key, project, ("tracking.project", "name"))
            yield Setting(run_key, f"{recipe.name}-sft", ("name",))
