"""What `ppo.openrlhf.extra` may set: each option of OpenRLHF's command is of one of three kinds.

An option that a newer version adds is of none, and is refused until it has been reviewed.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from rlsp_cli.backends.openrlhf.flags import TESTED
from rlsp_cli.recipe.issue import Issue, did_you_mean


def _both(*names: str) -> tuple[str, ...]:
    return tuple(map(".".join, product(("actor", "critic"), names)))


_LOSS = """
    actor.aux_loss_coef actor.loss_agg_mode actor.policy_loss_type
    algo.advantage.no_std_norm algo.kl.unbiased_gradient algo.kl.use_loss
"""
_OPTIMISERS = _both(
    *("optim", "adam.eps"),
    *("muon.lr", "muon.momentum", "muon.nesterov", "muon.no_nesterov", "muon.ns_steps"),
)
_MEMORY_AND_SPEED = """
    actor.gradient_checkpointing_reentrant data.dataloader_num_workers ds.deepcompile
    ds.experts_implementation ds.grad_accum_dtype ds.overlap_comm ds.ring_attn_head_stride
    ds.use_liger_kernel ds.zpg train.async_queue_size train.full_determinism_enable
    vllm.sync_with_ray
"""
_OUTPUT = """
    ckpt.max_num critic.save_value_network ds.value_head_prefix logger.wandb.group logger.wandb.org
"""
FREE = frozenset((*f"{_LOSS} {_MEMORY_AND_SPEED} {_OUTPUT}".split(), *_OPTIMISERS))
"""Options that change how the policy is trained, and nothing on which rlsp relies."""

# The table is by option, because that is what a user has in hand; settings of config.py name the
# same keys as their sources where the option is given.
_PLACES = {"actor": "actor", "ref": "reference", "critic": "critic"}
"""OpenRLHF's names of models, and those of `ppo.openrlhf.placement`."""
_OPTIMISER = {
    "adam.betas": "ppo.betas",
    "adam.weight_decay": "ppo.weight_decay",
    "lr_scheduler": "ppo.schedule",
    "lr_warmup_ratio": "ppo.warmup_ratio",
    "min_lr_ratio": "ppo.min_lr_ratio",
    "max_norm": "ppo.grad_clip",
}
"""Options that actor and critic have alike."""


def _of_models() -> Iterator[tuple[str, str]]:
    """Options that several models have, each with the recipe key that decides it."""
    for model, key in _PLACES.items():
        yield f"{model}.num_nodes", f"ppo.openrlhf.placement.{key}"
        yield f"{model}.num_gpus_per_node", f"ppo.openrlhf.placement.{key}"
    for name, key in _OPTIMISER.items():
        yield f"actor.{name}", key
        yield f"critic.{name}", key


RECIPE: Mapping[str, str] = {
    **dict(_of_models()),
    "actor.adam.lr": "ppo.learning_rate",
    "actor.dual_clip": "ppo.dual_clip",
    "actor.entropy_coef": "ppo.entropy_coef",
    "actor.eps_clip": "ppo.clip",
    "actor.eps_clip_low_high": "ppo.clip_high",
    "actor.gradient_checkpointing_enable": "ppo.gradient_checkpointing",
    "actor.model_name_or_path": "model.path",
    "algo.advantage.estimator": "ppo.estimator",
    "algo.advantage.gamma": "ppo.gamma",
    "algo.advantage.is_correction_level": "ppo.rollout_correction",
    "algo.advantage.is_correction_mode": "ppo.rollout_correction",
    "algo.advantage.is_correction_threshold": "ppo.rollout_correction",
    "algo.advantage.lambd": "ppo.gae_lambda",
    "algo.dynamic_filtering_enable": "ppo.select",
    "algo.dynamic_filtering_range": "ppo.select",
    "algo.kl.estimator": "ppo.kl_estimator",
    "algo.kl.horizon": "ppo.kl_horizon",
    "algo.kl.init_coef": "ppo.kl_coef",
    "algo.kl.target": "ppo.kl_target",
    "ckpt.save_steps": "ppo.save_every",
    "critic.adam.lr": "ppo.critic_learning_rate",
    "critic.freezing_steps": "ppo.critic_warmup_steps",
    "critic.model_name_or_path": "ppo.critic",
    "critic.value_clip": "ppo.value_clip",
    "data.apply_chat_template": "model.chat_template",
    "data.input_template": "data.template",
    "data.max_len": "ppo.max_prompt_tokens and ppo.max_new_tokens",
    "data.prompt_dataset": "data.prompts",
    "ds.adam_offload": "ppo.openrlhf.offload",
    "ds.attn_implementation": "model.attention",
    "ds.enable_sleep": "ppo.openrlhf.placement.share",
    "ds.packing_samples": "ppo.openrlhf.packing",
    "ds.param_dtype": "model.precision",
    "ds.ring_attn_size": "ppo.openrlhf.ring_attention",
    "ds.zero_stage": "ppo.openrlhf.sharding",
    "eval.dataset": "data.heldout and ppo.eval_every",
    "eval.n_samples_per_prompt": "eval.samples",
    "eval.steps": "ppo.eval_every",
    "eval.temperature": "eval.temperature",
    "logger.tensorboard_dir": "tracking.to",
    "logger.wandb.key": "tracking.to",
    "logger.wandb.project": "tracking.project",
    "logger.wandb.run_name": "name",
    "ref.offload": "ppo.openrlhf.offload",
    "reward.clip_range": "reward.clip",
    "reward.remote_url": "reward",
    "rollout.batch_size": "ppo.rollout_batch",
    "rollout.max_new_tokens": "ppo.max_new_tokens",
    "rollout.micro_batch_size": "ppo.openrlhf.micro_rollout_batch",
    "rollout.n_samples_per_prompt": "ppo.samples_per_prompt",
    "rollout.temperature": "ppo.temperature",
    "rollout.top_p": "ppo.top_p",
    "rollout.vllm_generate_batch_size": "ppo.rollout_batch",
    "train.async_enable": "ppo.openrlhf.async_rollout",
    "train.batch_size": "ppo.train_batch",
    "train.colocate_actor_ref": "ppo.openrlhf.placement.share",
    "train.colocate_all": "ppo.openrlhf.placement.share",
    "train.max_epochs": "ppo.epochs",
    "train.micro_batch_size": "ppo.micro_batch",
    "train.num_episodes": "ppo.episodes",
    "train.partial_rollout_enable": "ppo.openrlhf.async_rollout",
    "train.seed": "seed",
    "vllm.enable_prefix_caching": "ppo.openrlhf.engines.prefix_caching",
    "vllm.enable_sleep": "ppo.openrlhf.placement.share",
    "vllm.enforce_eager": "ppo.openrlhf.engines.eager",
    "vllm.gpu_memory_utilization": "ppo.openrlhf.engines.gpu_memory",
    "vllm.num_engines": "ppo.openrlhf.engines.count",
    "vllm.sync_backend": "cluster.gpus_per_node",
    "vllm.tensor_parallel_size": "ppo.openrlhf.engines.tensor_parallel",
}
"""Options that a recipe key decides, also where it leaves them at OpenRLHF's default."""

_CHECKPOINTS = "rlsp looks for checkpoints and the trained model where it put them"
_RESUME = "a run could not be resumed"
_DATA = "rlsp writes the rows of all rollouts itself, and reads them by its own names"
_REWARD = "rewards come from the recipe's reward section, which alone is logged and audited"
_REWARD_MODEL = f"there is no reward model: {_REWARD}"
_IMAGES = "rlsp's prompts have no images"
_EVEN = "the rules by which rlsp makes batches come out even on every process do not know it"
_EMA = (
    "OpenRLHF keeps the average in bfloat16, where steps this small vanish: "
    "it would save the start model"
)
_ADAPTERS = "OpenRLHF cannot hand adapters over to vLLM, which knows no weights of their names"
REFUSED: Mapping[str, str] = {
    "actor.freeze_visual_encoder": _IMAGES,
    "algo.advantage.is_correction_gating": "rlsp does not set bounds of a divergence",
    "ckpt.best_metric_key": f"{_CHECKPOINTS}, and takes the newest",
    "ckpt.disable_ds": _RESUME,
    "ckpt.load_enable": "`--resume` decides it",
    "ckpt.max_mem": f"all checkpoints could be deleted, and {_RESUME}",
    "ckpt.output_dir": _CHECKPOINTS,
    "ckpt.path": _CHECKPOINTS,
    "ckpt.save_hf": _CHECKPOINTS,
    "data.disable_fast_tokenizer": "prompts were checked with the fast tokenizer",
    "data.image_key": _IMAGES,
    "data.input_key": _DATA,
    "data.label_key": _DATA,
    "data.max_images_per_prompt": _IMAGES,
    "data.max_samples": _DATA,
    "data.prompt_probs": _DATA,
    "data.prompt_split": _DATA,
    "ds.load_in_4bit": _ADAPTERS,
    "ds.lora.alpha": _ADAPTERS,
    "ds.lora.dropout": _ADAPTERS,
    "ds.lora.rank": _ADAPTERS,
    "ds.lora.target_modules": _ADAPTERS,
    "ds.tensor_parallel_size": _EVEN,
    "ds.use_universal_ckpt": _RESUME,
    "eval.split": _DATA,
    "local_rank": "Ray decides it",
    "logger.logging_steps": "trackers show every step, as metrics.jsonl does",
    "reward.model_name_or_path": _REWARD_MODEL,
    "reward.normalize_enable": _REWARD,
    "reward.num_gpus_per_node": _REWARD_MODEL,
    "reward.num_nodes": _REWARD_MODEL,
    "reward.offload": _REWARD_MODEL,
    "reward.overlong_buffer_len": _REWARD,
    "reward.overlong_penalty_factor": _REWARD,
    "reward.stop_properly_penalty_coef": _REWARD,
    "rollout.max_tokens_per_gpu": _EVEN,
    "train.agent_func_path": f"agents are not supported; {_REWARD}",
    "train.colocate_critic_reward": _REWARD_MODEL,
    "train.dynamic_batch_enable": _EVEN,
    "train.ema_beta": _EMA,
    "train.enable_ema": _EMA,
    "train.max_tokens_per_gpu": _EVEN,
    "use_ms": "the model is the one that model.path names, on the hub or in a folder",
}
"""Options that would change what rlsp relies on, and that no recipe key decides -> the reason."""


def extra_problems(extra: Mapping[str, Any]) -> Iterator[Issue]:
    """What `ppo.openrlhf.extra` may not set, each with the next move."""
    for key, value in extra.items():
        path = f"ppo.openrlhf.extra.{key}"
        if key in RECIPE:
            yield Issue(path, f"rlsp sets this option from {RECIPE[key]}", "set that instead")
        elif key in REFUSED:
            message = f"this option is not for ppo.openrlhf.extra: {REFUSED[key]}"
            yield Issue(path, message, "leave it out")
        elif key not in FREE:
            message = f"OpenRLHF {TESTED[-1]} has no option --{key}"
            yield Issue(path, message, did_you_mean(key, [*RECIPE, *REFUSED, *FREE]))
        else:
            yield from _value_problem(path, value)


def _value_problem(path: str, value: Any) -> Iterator[Issue]:
    # argparse takes a value that begins with a dash for the next option.
    if isinstance(value, str) and value.startswith("-"):
        yield Issue(path, f"{value!r} would be read as another option", "give the value alone")
    elif not _is_value(value):
        message = f"{value!r} is no value of this option"
        yield Issue(path, message, "give a number, a text, true or false, or leave it out")


def _is_value(value: Any) -> bool:
    """Whether a value is one word of the command."""
    if isinstance(value, str):
        return value.strip() != "" and "\0" not in value
    return isinstance(value, int | float)
