"""Which keys `sft.axolotl.extra` may set: how examples are learned, never what, or from what.

Axolotl has about 400 keys, and each version adds some. Those that are listed here change how fast,
in how much memory or by which steps the same examples are learned. All others may decide the task,
the data, the tokenizer, the model or what is saved, which rlsp takes from the recipe. A key is
refused until it has been reviewed and listed.
"""

from collections.abc import Iterable, Iterator

from rlsp_cli.backends.settings import Setting
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.sft import Sft

_OPTIMISER = """
    adam_beta3 adam_epsilon adam_epsilon2 cosine_constant_lr_ratio cosine_min_lr_ratio dion_lr
    dion_momentum dion_rank_fraction dion_rank_multiple_of embedding_lr embedding_lr_scale
    jagged_restart_anneal_steps jagged_restart_steps jagged_restart_warmup_steps
    lisa_layers_attribute lisa_n_layers lisa_step_interval lr_div_factor lr_groups
    lr_quadratic_warmup neftune_noise_alpha optim_args optim_target_modules qgalore_cos_threshold
    qgalore_gamma_proj qgalore_proj_bits qgalore_proj_group_size qgalore_proj_quant
    qgalore_proj_type qgalore_queue_size qgalore_rank qgalore_scale qgalore_update_proj_gap
"""
_ADAPTERS = """
    bnb_config_kwargs lora_alpha_pattern lora_embedding_kernel lora_fan_in_fan_out lora_mlp_kernel
    lora_modules_to_save lora_o_kernel lora_on_cpu lora_qkv_kernel lora_rank_pattern
    loraplus_lr_embedding loraplus_lr_ratio peft_autocast_adapter_dtype peft_ensure_weight_tying
    peft_layers_pattern peft_layers_to_transform peft_trainable_token_indices peft_use_dora
    peft_use_rslora
"""
_MEMORY = """
    activation_offloading chunked_cross_entropy chunked_cross_entropy_num_chunks
    dataset_keep_in_memory gc_collect_steps gc_steps gpu_memory_limit gradient_checkpointing_kwargs
    layer_offloading low_cpu_mem_usage max_memory selective_checkpointing tiled_mlp
    tiled_mlp_num_shards tiled_mlp_use_original_mlp torch_empty_cache_steps
"""
_SPEED = """
    dataloader_num_workers dataloader_pin_memory dataloader_prefetch_factor dataset_num_proc
    dataset_processes ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters
    ddp_timeout deepcompile experts_implementation flash_attn_cross_entropy flash_attn_fuse_mlp
    flex_attn_compile_kwargs fused_attn_kernel group_by_length large_head_attention
    liger_cross_entropy liger_kernel_impl liger_layer_norm liger_rms_norm_gated pad_to_multiple_of
    sample_packing_bin_size sample_packing_group_size sample_packing_mp_start_method sdpa_varlen
    torch_compile torch_compile_backend torch_compile_mode torch_compile_options
"""
_WATCHING = """
    comet_experiment_config comet_experiment_key comet_mode comet_online comet_project_name
    comet_workspace hf_mlflow_log_artifacts include_tkps include_tokens_per_second
    loss_watchdog_patience loss_watchdog_threshold mlflow_tracking_uri otel_metrics_host
    otel_metrics_port profiler_steps profiler_steps_start trackio_space_id use_comet
    use_otel_metrics wandb_entity wandb_mode wandb_run_id wandb_watch
"""
ALLOWED = frozenset(" ".join((_OPTIMISER, _ADAPTERS, _MEMORY, _SPEED, _WATCHING)).split())
"""Keys that `sft.axolotl.extra` may set, beside the open ones among those that rlsp sets itself."""

# Axolotl's world size for the batch is processes / these, which would change what sft.batch means.
_PARALLEL = (
    "context_parallel_size",
    "sequence_parallel_degree",
    "tensor_parallel_size",
    "expert_parallel_size",
)
_INSTEAD = {
    "model": (
        "attn_implementation base_model base_model_config cls_model_config model_revision "
        "model_type model_config model_kwargs overrides_of_model_config "
        "overrides_of_model_kwargs reinit_weights revision_of_model rope_scaling "
        "tokenizer_config tokenizer_type trust_remote_code type_of_model"
    ),
    "model.attention": (
        "eager_attention flash_attention flex_attention s2_attention sage_attention "
        "sdp_attention xformers_attention"
    ),
    "model.chat_template": (
        "chat_template chat_template_jinja chat_template_kwargs default_system_message"
    ),
    "model.precision": "bfloat16 float16 float32 fp8",
    "model.special_tokens": "added_tokens_overrides eot_tokens special_tokens tokens",
    "data.traces": (
        "dataset_exact_deduplication datasets min_sample_len pretraining_dataset streaming "
        "test_datasets"
    ),
    "sft.batch and sft.micro_batch": "auto_find_batch_size batch_size",
    "sft.val_rows and sft.val_every": (
        "eval_strategy evals_per_epoch evaluation_strategy val_set_size"
    ),
    "sft.save_every": "save_strategy saves_per_epoch",
    "sft.warmup_ratio": "warmup_steps",
    "sft.lora": (
        "adapter load_in_4bit load_in_8bit lora_alpha lora_dropout lora_model_dir lora_r "
        "lora_target_linear lora_target_modules"
    ),
    "sft.axolotl.sharding": "deepspeed fsdp fsdp_config fsdp_version",
    "sft.axolotl.kernels": (
        "cut_cross_entropy liger_fused_linear_cross_entropy liger_glu_activation "
        "liger_rms_norm liger_rope"
    ),
    "tracking.to": "use_mlflow use_tensorboard use_trackio use_wandb",
    "cluster.launcher": "ray_num_workers use_ray",
}
"""Recipe key -> Axolotl's keys that would decide the same."""


def refused(sft: Sft, own: Iterable[Setting], known: Iterable[str]) -> Iterator[Issue]:
    """An issue for each key of `sft.axolotl.extra` that must not be set.

    `own` are rlsp's settings, of which `settings.taken` says which may be replaced. Keys that are
    not `known` to Axolotl are reported by `wrong_keys`. does not have, those not `known`, are
    reported by `wrong_keys`.
    """
    ours = {setting.key for setting in own}
    for key in sft.axolotl.extra:
        if key not in ours and key in known:
            yield from _refused_key(key, sft)


def _refused_key(key: str, sft: Sft) -> Iterator[Issue]:
    path = f"sft.axolotl.extra.{key}"
    if key in _PARALLEL:
        message = "Axolotl divides the batch by it, which sft.batch does not count"
        yield Issue(path, message, "leave it out")
    elif key not in ALLOWED:
        message = "it may change the task, the data, the model or what is saved"
        yield Issue(path, message, _hint(key))
    elif key in _ADAPTERS.split() and sft.lora is None:
        yield Issue(path, "it has no effect without adapters", "give sft.lora")


def _hint(key: str) -> str:
    for recipe_key, keys in _INSTEAD.items():
        if key in keys.split():
            return f"set {recipe_key} instead"
    return "leave it out; docs/axolotl.md lists the keys that can be set"
