"""A recipe as the options of OpenRLHF's PPO command.

Every value that matters is given, also where it is OpenRLHF's default: defaults have changed
between versions.
"""

from collections.abc import Iterator
from pathlib import Path

from rlsp_cli.backends.openrlhf.files import BRIDGE, StageFiles
from rlsp_cli.backends.openrlhf.placement import nodes_and_gpus, roles, takes_turns
from rlsp_cli.backends.settings import Setting
from rlsp_cli.evals.benches import Sampling
from rlsp_cli.recipe.openrlhf import OpenRlhf
from rlsp_cli.recipe.schema import Ppo, Recipe
from rlsp_cli.runs.paths import RunPaths

SCHEDULES = {"cosine": "cosine_with_min_lr", "linear": "linear", "constant": "constant_with_warmup"}
_STAGES = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3}
_GPUS = "cluster.gpus_per_node"
_CLUSTER = ("cluster.nodes", _GPUS)
_CORRECTIONS = {
    "none": ("clip", [1.0, 1.0]),
    "tis": ("clip", [0.0, 2.0]),
    "icepop": ("mask", [0.5, 5.0]),
}
"""What happens to a token's importance weight, and its bounds: TIS with the cap of its authors
(https://fengyao.notion.site/off-policy-rl), IcePop with the band of its own (2510.18855). A weight that is clipped to
1 changes nothing, and lets OpenRLHF measure how far the engines are from the trainer."""
_SAMPLES = "ppo.samples_per_prompt"


def _keys(*names: str) -> tuple[str, ...]:
    """The recipe's names of keys of this backend."""
    return tuple(f"ppo.openrlhf.{name}" for name in names)


_PLACE = _keys("placement.share", "placement.actor", "placement.reference", "placement.critic")
_ROWS = ("source", "split", "rows", "options", "config", "problem", "answer", "id")


def settings(
    recipe: Recipe, ppo: Ppo, paths: RunPaths, resume: Path | None = None
) -> list[Setting]:
    """All options, in the order in which they are given, but for `ppo.openrlhf.extra`."""
    files = StageFiles(paths.stage("ppo"))
    parts = (
        _models(recipe, ppo, paths),
        _places(recipe, ppo),
        _engines(recipe, ppo),
        _data(recipe, ppo, files),
        _rollout(recipe, ppo),
        _training(recipe, ppo),
        _algorithm(ppo),
        correction_settings(ppo.openrlhf),
        _optimiser(ppo),
        _memory(recipe, ppo),
        _evaluation(recipe, ppo, files),
        _saving(ppo, files, resume),
        _trackers(recipe, files),
    )
    return [setting for part in parts for setting in part]


def start(recipe: Recipe, paths: RunPaths) -> str:
    """The model that PPO starts from: the SFT stage's, the recipe's, or a new one."""
    if recipe.sft:
        return str(paths.stage("sft").final)
    return recipe.model.path or str(StageFiles(paths.stage("ppo")).base)


def attention(recipe: Recipe) -> str:
    """The attention implementation; packed responses stay apart only in flash attention."""
    if recipe.model.attention != "auto":
        return recipe.model.attention
    if not recipe.cluster.gpus_per_node:
        return "eager"
    return "flash_attention_2" if recipe.ppo and recipe.ppo.openrlhf.packing else "sdpa"


def rollout_correction(own: OpenRlhf) -> str:
    """The recipe's, or what `auto` stands for: rollouts that overlap with training are of an older policy."""
    if own.rollout_correction != "auto":
        return own.rollout_correction
    return "none" if own.async_rollout == "none" else "tis"


def prefix_caching(ppo: Ppo) -> bool:
    """OpenRLHF asks for each sample apart. It empties the cache with new weights, which it cannot within a response."""
    own = ppo.openrlhf
    if own.engines.prefix_caching is not None:
        return own.engines.prefix_caching
    return ppo.samples_per_prompt > 1 and own.async_rollout != "partial"


def _models(recipe: Recipe, ppo: Ppo, paths: RunPaths) -> Iterator[Setting]:
    model = start(recipe, paths)
    yield Setting(
        "actor.model_name_or_path", model, ("model.path", "model.from_scratch", "data.traces")
    )
    if ppo.estimator == "gae":
        yield Setting("critic.model_name_or_path", model, ("ppo.critic",))
    yield Setting("reward.remote_url", BRIDGE, ("reward",))
    yield Setting("reward.clip_range", [-recipe.reward.clip, recipe.reward.clip], ("reward.clip",))


def _places(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    found, sources = roles(ppo, recipe.cluster), (*_PLACE, *_CLUSTER)
    for name, gpus in (("actor", found.actor), ("ref", found.reference), ("critic", found.critic)):
        nodes, each = nodes_and_gpus(gpus or found.actor, recipe.cluster.gpus_per_node)
        yield Setting(f"{name}.num_nodes", nodes, sources)
        yield Setting(f"{name}.num_gpus_per_node", each, sources)
    share = ppo.openrlhf.placement.share
    yield Setting("train.colocate_all", share == "all", _PLACE[:1])
    yield Setting("train.colocate_actor_ref", share == "actor_reference", _PLACE[:1])


def _engines(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    found, gpu, engines = (
        roles(ppo, recipe.cluster),
        recipe.cluster.gpus_per_node > 0,
        ppo.openrlhf.engines,
    )
    shared = gpu and takes_turns(ppo)
    memory = engines.gpu_memory or ((0.6 if shared else 0.9) if gpu else 0.05)
    asleep = _keys("placement.share", "async_rollout")

    yield Setting("vllm.num_engines", found.engines, (*_keys("engines.count"), *_PLACE, *_CLUSTER))
    yield Setting(
        "vllm.tensor_parallel_size", found.tensor_parallel, _keys("engines.tensor_parallel")
    )
    yield Setting(
        "vllm.gpu_memory_utilization", memory, _keys("engines.gpu_memory", "placement.share")
    )
    yield Setting(
        "vllm.enable_prefix_caching",
        prefix_caching(ppo),
        (*_keys("engines.prefix_caching"), _SAMPLES),
    )
    yield Setting("vllm.enforce_eager", engines.eager or not gpu, (*_keys("engines.eager"), _GPUS))
    yield Setting("vllm.sync_backend", "nccl" if gpu else "gloo", (_GPUS,))
    yield Setting("vllm.enable_sleep", shared, asleep)
    yield Setting("ds.enable_sleep", shared, asleep)


def _data(recipe: Recipe, ppo: Ppo, files: StageFiles) -> Iterator[Setting]:
    """Prompts come as text, rendered as in SFT and evaluation; the hook takes as many as `ppo.steps` rollouts need."""
    sources = (
        *(f"data.prompts.{key}" for key in _ROWS),
        "data.system",
        "data.template",
        "ppo.steps",
        "ppo.episodes",
    )
    yield Setting("data.prompt_dataset", str(files.prompts), sources)
    yield Setting("data.prompt_split", "train")
    yield Setting("data.input_key", "prompt")
    yield Setting("data.label_key", "label")
    yield Setting("data.max_samples", 10**9)
    limit = ppo.max_prompt_tokens + ppo.max_new_tokens
    yield Setting("data.max_len", limit, ("ppo.max_prompt_tokens", "ppo.max_new_tokens"))
    yield Setting("train.num_episodes", 1, ("ppo.episodes",))


def _rollout(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    own = ppo.openrlhf
    micro = own.micro_rollout_batch or ppo.micro_batch
    yield Setting("rollout.batch_size", ppo.rollout_batch, ("ppo.rollout_batch",))
    yield Setting("rollout.vllm_generate_batch_size", ppo.rollout_batch, ("ppo.rollout_batch",))
    yield Setting(
        "rollout.micro_batch_size", micro, (*_keys("micro_rollout_batch"), "ppo.micro_batch")
    )
    yield Setting(
        "rollout.n_samples_per_prompt", ppo.samples_per_prompt, ("ppo.samples_per_prompt",)
    )
    yield Setting("rollout.max_new_tokens", ppo.max_new_tokens, ("ppo.max_new_tokens",))
    yield Setting("rollout.temperature", ppo.temperature, ("ppo.temperature",))
    yield Setting("rollout.top_p", ppo.top_p, ("ppo.top_p",))
    if own.dynamic_filtering is not None:
        yield Setting("algo.dynamic_filtering_enable", True, _keys("dynamic_filtering"))
        yield Setting(
            "algo.dynamic_filtering_range", list(own.dynamic_filtering), _keys("dynamic_filtering")
        )


def _training(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    yield Setting("train.batch_size", ppo.train_batch, ("ppo.train_batch",))
    yield Setting("train.micro_batch_size", ppo.micro_batch, ("ppo.micro_batch",))
    yield Setting("train.max_epochs", ppo.epochs, ("ppo.epochs",))
    yield Setting("train.seed", recipe.seed, ("seed",))
    mode = ppo.openrlhf.async_rollout
    if mode != "none":
        yield Setting("train.async_enable", True, _keys("async_rollout"))
        yield Setting("train.async_queue_size", 1)
        yield Setting("train.partial_rollout_enable", mode == "partial", _keys("async_rollout"))


def _algorithm(ppo: Ppo) -> Iterator[Setting]:
    """OpenRLHF whitens what `whiten_advantages` is for; it freezes the actor for one step more than it is told."""
    frozen = ppo.critic_warmup_steps - 1 if ppo.estimator == "gae" else -1
    yield Setting("algo.advantage.estimator", ppo.estimator, ("ppo.estimator",))
    yield Setting("algo.advantage.gamma", ppo.gamma, ("ppo.gamma",))
    yield Setting("algo.advantage.lambd", ppo.gae_lambda, ("ppo.gae_lambda",))
    yield Setting("algo.kl.init_coef", ppo.kl_coef, ("ppo.kl_coef",))
    yield Setting("algo.kl.target", ppo.kl_target, ("ppo.kl_target",))
    yield Setting("algo.kl.horizon", ppo.kl_horizon, ("ppo.kl_horizon",))
    yield Setting("algo.kl.estimator", ppo.kl_estimator, ("ppo.kl_estimator",))
    yield Setting("actor.policy_loss_type", "ppo", open=True)
    yield Setting("actor.loss_agg_mode", "token-mean")
    yield Setting("actor.eps_clip", ppo.clip, ("ppo.clip",))
    yield Setting("critic.value_clip", ppo.value_clip, ("ppo.value_clip",))
    yield Setting("critic.freezing_steps", frozen, ("ppo.critic_warmup_steps", "ppo.estimator"))


def correction_settings(own: OpenRlhf) -> Iterator[Setting]:
    """GSPO has no weights; where one is asked for, its ratio is that to the engines' own probabilities."""
    sources, chosen = _keys("rollout_correction", "async_rollout"), rollout_correction(own)
    mode, bounds = _CORRECTIONS[chosen]
    without = chosen == "none" and own.extra.get("actor.policy_loss_type") == "gspo"
    yield Setting("algo.advantage.is_correction_level", "off" if without else "token", sources)
    yield Setting("algo.advantage.is_correction_mode", mode, sources)
    yield Setting("algo.advantage.is_correction_threshold", bounds, sources)


def _optimiser(ppo: Ppo) -> Iterator[Setting]:
    for model, rate, key in (
        ("actor", ppo.learning_rate, "ppo.learning_rate"),
        ("critic", ppo.critic_learning_rate, "ppo.critic_learning_rate"),
    ):
        yield Setting(f"{model}.adam.lr", rate, (key,))
        yield Setting(f"{model}.adam.betas", list(ppo.betas), ("ppo.betas",))
        yield Setting(f"{model}.adam.weight_decay", ppo.weight_decay, ("ppo.weight_decay",))
        yield Setting(f"{model}.lr_scheduler", SCHEDULES[ppo.schedule], ("ppo.schedule",))
        yield Setting(f"{model}.lr_warmup_ratio", ppo.warmup_ratio, ("ppo.warmup_ratio",))
        yield Setting(f"{model}.min_lr_ratio", ppo.min_lr_ratio, ("ppo.min_lr_ratio",))
        yield Setting(f"{model}.max_norm", ppo.grad_clip, ("ppo.grad_clip",))


def _memory(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    own = ppo.openrlhf
    yield Setting("ds.param_dtype", "bf16", ("model.precision",))
    yield Setting(
        "ds.attn_implementation", attention(recipe), ("model.attention", *_keys("packing"), _GPUS)
    )
    yield Setting("ds.zero_stage", _STAGES[own.sharding], _keys("sharding"))
    yield Setting("ds.adam_offload", "optimizer" in own.offload, _keys("offload"))
    yield Setting("ref.offload", "reference" in own.offload, _keys("offload"))
    yield Setting("ds.packing_samples", own.packing, _keys("packing"))
    yield Setting("ds.ring_attn_size", own.ring_attention, _keys("ring_attention"))
    checkpointing = own.gradient_checkpointing
    yield Setting(
        "actor.gradient_checkpointing_enable", checkpointing, _keys("gradient_checkpointing")
    )


def _evaluation(recipe: Recipe, ppo: Ppo, files: StageFiles) -> Iterator[Setting]:
    """Our bridge answers held-out rows with correctness alone, so that OpenRLHF's pass@1 is one."""
    every = ppo.openrlhf.eval_every
    if every is None or recipe.data.heldout is None:
        return
    shown = Sampling().under(recipe.eval) if recipe.eval else None
    sources = tuple(f"data.heldout.{key}" for key in _ROWS)
    yield Setting("eval.dataset", str(files.heldout), sources)
    yield Setting("eval.split", "train")
    yield Setting("eval.steps", every, _keys("eval_every"))
    yield Setting(
        "eval.temperature", shown.temperature if shown else ppo.temperature, ("eval.temperature",)
    )
    yield Setting(
        "eval.n_samples_per_prompt", max(shown.samples if shown else 1, 1), ("eval.samples",)
    )


def _saving(ppo: Ppo, files: StageFiles, resume: Path | None) -> Iterator[Setting]:
    yield Setting("ckpt.output_dir", str(files.model))
    yield Setting("ckpt.path", str(files.checkpoints))
    yield Setting("ckpt.save_steps", ppo.save_every, ("ppo.save_every",))
    yield Setting("ckpt.max_num", 2)  # should the newest be half written, the one before is whole
    yield Setting("ckpt.best_metric_key", "none")
    yield Setting("ckpt.load_enable", resume is not None)


def _trackers(recipe: Recipe, files: StageFiles) -> Iterator[Setting]:
    """Logins come from the environment: what stands for wandb's key is no key, and is not used where there is one."""
    yield Setting("logger.logging_steps", 1)
    if "tensorboard" in recipe.tracking.to:
        yield Setting("logger.tensorboard_dir", str(files.tensorboard), ("tracking.to",))
    if "wandb" in recipe.tracking.to:
        yield Setting("logger.wandb.key", "from-the-environment", ("tracking.to",))
        project = recipe.tracking.project or recipe.name
        yield Setting("logger.wandb.project", project, ("tracking.project", "name"))
        yield Setting("logger.wandb.run_name", f"{recipe.name}-ppo", ("name",))
