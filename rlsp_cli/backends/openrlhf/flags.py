"""The options of OpenRLHF's PPO command, by version: their spelling, and what its own parser says to a command."""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.setting import Setting
from rlsp_cli.errors import NotReadyError
from rlsp_cli.share import share

Flags = Mapping[str, Mapping[str, Any]]
_FOLDER = Path(__file__).parent / "flags"
_DOTTED_SINCE = (0, 10, 2)


def version_number(version: str) -> tuple[int, ...]:
    """`0.10.1.post2` as (0, 10, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


TESTED = tuple(sorted((path.stem for path in _FOLDER.glob("*.json")), key=version_number))
"""Versions that rlsp is tested with, the newest last; their options lie beside this file."""

_FLAT = {
    "actor.adam.betas": "adam_betas",
    "actor.adam.lr": "actor_learning_rate",
    "actor.adam.weight_decay": "l2",
    "actor.dual_clip": "dual_clip",
    "actor.entropy_coef": "entropy_loss_coef",
    "actor.eps_clip": "eps_clip",
    "actor.eps_clip_low_high": "eps_clip_low_high",
    "actor.gradient_checkpointing_enable": "gradient_checkpointing",
    "actor.lr_scheduler": "lr_scheduler",
    "actor.lr_warmup_ratio": "lr_warmup_ratio",
    "actor.max_norm": "max_norm",
    "actor.model_name_or_path": "pretrain",
    "actor.num_gpus_per_node": "actor_num_gpus_per_node",
    "actor.num_nodes": "actor_num_nodes",
    "actor.policy_loss_type": "policy_loss_type",
    "algo.advantage.estimator": "advantage_estimator",
    "algo.advantage.gamma": "gamma",
    "algo.advantage.lambd": "lambd",
    "algo.advantage.no_std_norm": "no_advantage_std_norm",
    "algo.dynamic_filtering_enable": "dynamic_filtering",
    "algo.dynamic_filtering_range": "dynamic_filtering_reward_range",
    "algo.kl.estimator": "kl_estimator",
    "algo.kl.horizon": "kl_horizon",
    "algo.kl.init_coef": "init_kl_coef",
    "algo.kl.target": "kl_target",
    "algo.kl.use_loss": "use_kl_loss",
    "ckpt.best_metric_key": "best_metric_key",
    "ckpt.disable_ds": "disable_ds_ckpt",
    "ckpt.load_enable": "load_checkpoint",
    "ckpt.max_num": "max_ckpt_num",
    "ckpt.output_dir": "save_path",
    "ckpt.path": "ckpt_path",
    "ckpt.save_hf": "save_hf_ckpt",
    "ckpt.save_steps": "save_steps",
    "critic.adam.lr": "critic_learning_rate",
    "critic.freezing_steps": "freezing_actor_steps",
    "critic.model_name_or_path": "critic_pretrain",
    "critic.num_gpus_per_node": "critic_num_gpus_per_node",
    "critic.num_nodes": "critic_num_nodes",
    "critic.save_value_network": "save_value_network",
    "critic.value_clip": "value_clip",
    "data.input_key": "input_key",
    "data.label_key": "label_key",
    "data.max_len": "max_len",
    "data.max_samples": "max_samples",
    "data.prompt_dataset": "prompt_data",
    "data.prompt_split": "prompt_split",
    "ds.adam_offload": "adam_offload",
    "ds.attn_implementation": "attn_implementation",
    "ds.enable_sleep": "deepspeed_enable_sleep",
    "ds.load_in_4bit": "load_in_4bit",
    "ds.lora.alpha": "lora_alpha",
    "ds.lora.dropout": "lora_dropout",
    "ds.lora.rank": "lora_rank",
    "ds.lora.target_modules": "target_modules",
    "ds.packing_samples": "packing_samples",
    "ds.param_dtype": "param_dtype",
    "ds.ring_attn_size": "ring_attn_size",
    "ds.tensor_parallel_size": "ds_tensor_parallel_size",
    "ds.use_liger_kernel": "use_liger_kernel",
    "ds.zero_stage": "zero_stage",
    "eval.dataset": "eval_dataset",
    "eval.n_samples_per_prompt": "eval_n_samples_per_prompt",
    "eval.split": "eval_split",
    "eval.steps": "eval_steps",
    "eval.temperature": "eval_temperature",
    "logger.logging_steps": "logging_steps",
    "logger.tensorboard_dir": "use_tensorboard",
    "logger.wandb.key": "use_wandb",
    "logger.wandb.project": "wandb_project",
    "logger.wandb.run_name": "wandb_run_name",
    "ref.num_gpus_per_node": "ref_num_gpus_per_node",
    "ref.num_nodes": "ref_num_nodes",
    "ref.offload": "ref_reward_offload",
    "reward.clip_range": "reward_clip_range",
    "reward.remote_url": "remote_rm_url",
    "rollout.batch_size": "rollout_batch_size",
    "rollout.max_new_tokens": "max_new_tokens",
    "rollout.micro_batch_size": "micro_rollout_batch_size",
    "rollout.n_samples_per_prompt": "n_samples_per_prompt",
    "rollout.temperature": "temperature",
    "rollout.top_p": "top_p",
    "rollout.vllm_generate_batch_size": "vllm_generate_batch_size",
    "train.async_enable": "async_train",
    "train.async_queue_size": "async_queue_size",
    "train.batch_size": "train_batch_size",
    "train.colocate_actor_ref": "colocate_actor_ref",
    "train.colocate_all": "colocate_all_models",
    "train.ema_beta": "ema_beta",
    "train.enable_ema": "enable_ema",
    "train.full_determinism_enable": "full_determinism",
    "train.max_epochs": "max_epochs",
    "train.micro_batch_size": "micro_train_batch_size",
    "train.num_episodes": "num_episodes",
    "train.partial_rollout_enable": "partial_rollout",
    "train.seed": "seed",
    "vllm.enable_prefix_caching": "enable_prefix_caching",
    "vllm.enable_sleep": "vllm_enable_sleep",
    "vllm.enforce_eager": "enforce_eager",
    "vllm.gpu_memory_utilization": "vllm_gpu_memory_utilization",
    "vllm.num_engines": "vllm_num_engines",
    "vllm.sync_backend": "vllm_sync_backend",
    "vllm.tensor_parallel_size": "vllm_tensor_parallel_size",
}
"""What 0.10.1 and before call an option. Those that are missing here they do not have."""
_SHARED = ("critic.adam.betas", "critic.adam.weight_decay", "critic.lr_scheduler", "critic.lr_warmup_ratio",
           "critic.max_norm")  # fmt: skip
"""Options of the critic that were the actor's, too, before they had names of their own."""
_FIXED = {"actor.min_lr_ratio": 0.1, "critic.min_lr_ratio": 0.1, "actor.loss_agg_mode": "token-mean"}
"""What 0.10.1 and before always do, and what later versions must be told."""


@cache
def known_flags(version: str) -> Flags:
    """The options of a tested version, read from its own parser by `templates/openrlhf/parser.py`."""
    data: Flags = json.loads((_FOLDER / f"{version}.json").read_text(encoding="utf-8"))
    return data


def is_dotted(version: str) -> bool:
    """Whether the version has the names with dots."""
    return version_number(version) >= _DOTTED_SINCE


def spelled(settings: Sequence[Setting], version: str) -> list[Setting]:
    """The settings with the option names of a version, without those that it has no say in."""
    if is_dotted(version):
        return list(settings)
    kept = [setting for setting in settings if setting.key not in (*_SHARED, *_FIXED)]
    return [replace(setting, key=_FLAT.get(setting.key, setting.key)) for setting in kept]


def fixed_otherwise(settings: Sequence[Setting], version: str) -> list[tuple[Setting, Any]]:
    """Settings that a version does not know, with what it does instead, where that is something else."""
    if is_dotted(version):
        return []
    return [(s, _FIXED[s.key]) for s in settings if s.key in _FIXED and s.value != _FIXED[s.key]]


def words(settings: Sequence[Setting]) -> tuple[str, ...]:
    """The settings as a command's words: a switch stands alone, a list is several words, None is left out."""
    found: list[str] = []
    for setting in settings:
        if setting.value is None or setting.value is False:
            continue
        value = [] if setting.value is True else setting.value
        found += [f"--{setting.key}", *map(str, value if isinstance(value, list | tuple) else [value])]
    return tuple(found)


def parser_error(environment: Environment, argv: Sequence[str]) -> str | None:
    """What the installed version's own parser, or its checks behind it, have against a command."""
    return ask_parser(environment.python(Path.cwd()), "-", argv).get("error")


def ask_parser(python: Sequence[str], package: str, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The answer of `templates/openrlhf/parser.py`; NotReadyError when OpenRLHF's command is not as it was known."""
    with tempfile.TemporaryDirectory() as folder:
        answer, command = Path(folder) / "answer.json", Path(folder) / "command.json"
        command.write_text(json.dumps(argv), encoding="utf-8")
        script = str(share("templates") / "openrlhf" / "parser.py")
        asked = [*python, script, package, str(answer), *([str(command)] if argv is not None else [])]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NotReadyError(f"{python[0]}: OpenRLHF's parser cannot be asked: {reason}; install a tested version")
        data: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return data
