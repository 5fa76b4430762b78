"""A PPO recipe as the options of OpenRLHF's command, `openrlhf/cli/train_ppo_ray.py`.

Every value that matters is given, also where it is OpenRLHF's default: several defaults have
changed between versions without a note.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rlsp_cli.backends.openrlhf.files import AGENT, BRIDGE, OpenRlhfFiles
from rlsp_cli.backends.openrlhf.placement import nodes_and_gpus, roles, takes_turns
from rlsp_cli.backends.sections import data_keys
from rlsp_cli.backends.settings import Setting
from rlsp_cli.evals.heldout_curve import curve_sampling
from rlsp_cli.recipe.correction import BANDS
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths

SCHEDULES = {"cosine": "cosine_with_min_lr", "linear": "linear", "constant": "constant_with_warmup"}
"""Our schedule -> the name in transformers."""
_ZERO_STAGES = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3}
_MEMORY_SHARED, _MEMORY_ALONE, _MEMORY_CPU = 0.6, 0.9, 0.05
"""Memory for an engine: of a GPU beside sleeping models, of a GPU alone, of a host without any."""
_ALL_ROWS = 10**9
"""`data.max_samples` has no value for "all"."""
_CHECKPOINTS_KEPT = 2
"""If a crash leaves the newest half written, the one before it is whole."""

_GPUS = "cluster.gpus_per_node"
_CLUSTER = ("cluster.nodes", _GPUS)
_SAMPLES = "ppo.samples_per_prompt"
_ROWS = ("source", "split", "rows", "options", "config", "problem", "answer", "id", "row")


def _own(*names: str) -> tuple[str, ...]:
    """Recipe keys that OpenRLHF alone reads."""
    return tuple(f"ppo.openrlhf.{name}" for name in names)


BAND = "pass_rate"
"""The selector that OpenRLHF can express: a band of mean correctness."""
_SELECT = ("ppo.select",)
_JUST = 1e-6
"""Less than the difference of two mean verdicts, and more than the error of one in float32."""
_PLACEMENT = _own("placement.share", "placement.actor", "placement.reference", "placement.critic")


def settings(
    recipe: Recipe, ppo: Ppo, paths: RunPaths, resume: Path | None = None
) -> list[Setting]:
    """The options in the order of the command, without `ppo.openrlhf.extra`."""
    files = OpenRlhfFiles(paths.stage("ppo"))
    parts = (
        _models(recipe, ppo, paths),
        _places(recipe, ppo),
        _engines(recipe, ppo),
        _data(recipe, ppo, files),
        _rollout(ppo),
        _training(recipe, ppo),
        _algorithm(ppo),
        correction_settings(ppo),
        _optimiser(ppo),
        _memory(recipe, ppo),
        _evaluation(recipe, ppo, files),
        _saving(ppo, files, resume),
        _trackers(recipe, files),
    )
    return list(chain(*parts))


def start(recipe: Recipe, paths: RunPaths) -> str:
    """The model that PPO starts from: the SFT stage's, the recipe's, or a new one."""
    if recipe.sft:
        return str(paths.stage("sft").final)
    return recipe.model.path or str(OpenRlhfFiles(paths.stage("ppo")).base)


def attention(recipe: Recipe) -> str:
    """The attention implementation; only flash attention keeps packed responses apart."""
    if recipe.model.attention != "auto":
        return recipe.model.attention
    if not recipe.cluster.gpus_per_node:
        return "eager"
    return "flash_attention_2" if recipe.ppo and recipe.ppo.openrlhf.packing else "sdpa"


def prefix_caching(ppo: Ppo) -> bool:
    """Whether engines keep the keys and values of prompts.

    It pays with several samples of a prompt, because OpenRLHF asks for each of them apart. Partial
    rollouts change the weights in the middle of a response, where the cache cannot be emptied.
    """
    own = ppo.openrlhf
    if own.engines.prefix_caching is not None:
        return own.engines.prefix_caching
    return ppo.samples_per_prompt > 1 and own.async_rollout != "partial"


def _models(recipe: Recipe, ppo: Ppo, paths: RunPaths) -> Iterator[Setting]:
    model, clip = start(recipe, paths), recipe.reward.clip
    sources = ("model.path", "model.from_scratch", "data.traces")
    yield Setting("actor.model_name_or_path", model, sources)
    if ppo.estimator == "gae":
        yield Setting("critic.model_name_or_path", model, ("ppo.critic",))

    # A path that ends in .py is a file with a function, and not an address.
    yield Setting("reward.remote_url", BRIDGE, ("reward",))
    if recipe.continuation is not None:
        yield Setting("train.agent_func_path", AGENT, ("continuation",))
    yield Setting("reward.clip_range", [-clip, clip], ("reward.clip",))


def _places(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    placed, sources = roles(ppo, recipe.cluster), (*_PLACEMENT, *_CLUSTER)
    models = (("actor", placed.actor), ("ref", placed.reference), ("critic", placed.critic))

    for name, gpus in models:
        # Also for a model that is not there: OpenRLHF's default is a whole node of 8 GPUs.
        nodes, each = nodes_and_gpus(gpus or placed.actor, recipe.cluster.gpus_per_node)
        yield Setting(f"{name}.num_nodes", nodes, sources)
        yield Setting(f"{name}.num_gpus_per_node", each, sources)

    share = ppo.openrlhf.placement.share
    yield Setting("train.colocate_all", share == "all", _own("placement.share"))
    yield Setting("train.colocate_actor_ref", share == "actor_reference", _own("placement.share"))


def _engines(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    placed, engines = roles(ppo, recipe.cluster), ppo.openrlhf.engines
    gpu = recipe.cluster.gpus_per_node > 0
    count = (*_own("engines.count"), *_PLACEMENT, *_CLUSTER)
    yield Setting("vllm.num_engines", placed.engines, count)

    tensor_parallel = _own("engines.tensor_parallel")
    yield Setting("vllm.tensor_parallel_size", placed.tensor_parallel, tensor_parallel)
    memory = _own("engines.gpu_memory", "placement.share")
    yield Setting("vllm.gpu_memory_utilization", _engine_memory(recipe, ppo), memory)
    caching = (*_own("engines.prefix_caching"), _SAMPLES)
    yield Setting("vllm.enable_prefix_caching", prefix_caching(ppo), caching)

    # CUDA graphs and NCCL need GPUs.
    yield Setting("vllm.enforce_eager", engines.eager or not gpu, (*_own("engines.eager"), _GPUS))
    yield Setting("vllm.sync_backend", "nccl" if gpu else "gloo", (_GPUS,))

    # Models and engines on the same GPUs take turns, and give their memory back in between.
    sleeps, sources = gpu and takes_turns(ppo), _own("placement.share", "async_rollout")
    yield Setting("vllm.enable_sleep", sleeps, sources)
    yield Setting("ds.enable_sleep", sleeps, sources)


def _engine_memory(recipe: Recipe, ppo: Ppo) -> float:
    """Share of a GPU's memory for weights, keys and values of an engine."""
    if ppo.openrlhf.engines.gpu_memory:
        return ppo.openrlhf.engines.gpu_memory
    if not recipe.cluster.gpus_per_node:
        return _MEMORY_CPU
    return _MEMORY_SHARED if takes_turns(ppo) else _MEMORY_ALONE


def _data(recipe: Recipe, ppo: Ppo, files: OpenRlhfFiles) -> Iterator[Setting]:
    """Prompts as text, rendered as in SFT and evaluation, and a label for our bridge."""
    rows = (*data_keys(recipe, "prompts", (*_ROWS, "weight")), "data.system", "data.template")
    yield Setting("data.prompt_dataset", str(files.prompts), (*rows, "ppo.steps", "ppo.episodes"))
    yield Setting("data.prompt_split", "train")
    yield Setting("data.input_key", "prompt")
    yield Setting("data.label_key", "label")
    yield Setting("data.max_samples", _ALL_ROWS)

    # Room for both: OpenRLHF would cut a longer prompt on its left.
    length = ppo.max_prompt_tokens + ppo.max_new_tokens
    yield Setting("data.max_len", length, ("ppo.max_prompt_tokens", "ppo.max_new_tokens"))

    # The hook hands out prompts until all rollouts are made, over as many passes as that takes.
    yield Setting("train.num_episodes", 1, ("ppo.episodes",))


def _rollout(ppo: Ppo) -> Iterator[Setting]:
    own = ppo.openrlhf
    micro = own.micro_rollout_batch or ppo.micro_batch
    yield Setting("rollout.batch_size", ppo.rollout_batch, ("ppo.rollout_batch",))
    yield Setting("rollout.vllm_generate_batch_size", ppo.rollout_batch, ("ppo.rollout_batch",))
    sources = (*_own("micro_rollout_batch"), "ppo.micro_batch")
    yield Setting("rollout.micro_batch_size", micro, sources)
    yield Setting("rollout.n_samples_per_prompt", ppo.samples_per_prompt, (_SAMPLES,))

    yield Setting("rollout.max_new_tokens", ppo.max_new_tokens, ("ppo.max_new_tokens",))
    yield Setting("rollout.temperature", ppo.temperature, ("ppo.temperature",))
    yield Setting("rollout.top_p", ppo.top_p, ("ppo.top_p",))

    if ppo.select is not None and ppo.select.use == BAND:
        band = ppo.select.options_at(0, 1)  # the same at all steps, or else it is refused
        bounds = _outside(band["lo"], band["hi"])
        yield Setting("algo.dynamic_filtering_enable", True, _SELECT)
        yield Setting("algo.dynamic_filtering_range", bounds, _SELECT)


def _outside(lo: float, hi: float) -> list[float]:
    """Bounds of the open interval that OpenRLHF keeps, for one that includes `lo` and `hi`."""
    # argparse takes -1.0 for a number, and -1e-06 for an option.
    return [lo - _JUST if lo > _JUST else -1.0, hi + _JUST]


def _training(recipe: Recipe, ppo: Ppo) -> Iterator[Setting]:
    yield Setting("train.batch_size", ppo.train_batch, ("ppo.train_batch",))
    yield Setting("train.micro_batch_size", ppo.micro_batch, ("ppo.micro_batch",))
    yield Setting("train.max_epochs", ppo.epochs, ("ppo.epochs",))
    yield Setting("train.seed", recipe.seed, ("seed",))

    mode = ppo.openrlhf.async_rollout
    if mode != "none":
        yield Setting("train.async_enable", True, _own("async_rollout"))
        yield Setting("train.async_queue_size", 1)  # a longer queue holds older rollouts
        yield Setting("train.partial_rollout_enable", mode == "partial", _own("async_rollout"))


def _algorithm(ppo: Ppo) -> Iterator[Setting]:
    """Estimator, KL penalty and losses. Whitening has no option: it comes with the estimator."""
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
    if ppo.clip_high is not None:
        both = [ppo.clip, ppo.clip_high]
        yield Setting("actor.eps_clip_low_high", both, ("ppo.clip", "ppo.clip_high"))
    if ppo.entropy_coef:
        # Without the option OpenRLHF computes no entropy, which would cost memory.
        yield Setting("actor.entropy_coef", ppo.entropy_coef, ("ppo.entropy_coef",))
    if ppo.dual_clip is not None:
        yield Setting("actor.dual_clip", ppo.dual_clip, ("ppo.dual_clip",))
    yield Setting("critic.value_clip", ppo.value_clip, ("ppo.value_clip",))

    # The actor trains once `global_steps > freezing_steps` (ppo_trainer.py), and steps begin at 1.
    frozen = ppo.critic_warmup_steps - 1 if ppo.estimator == "gae" else -1
    yield Setting("critic.freezing_steps", frozen, ("ppo.critic_warmup_steps", "ppo.estimator"))


def correction_settings(ppo: Ppo) -> Iterator[Setting]:
    """Options of the importance weights between the engines' probabilities and the trainer's.

    A weight that is truncated to 1 changes nothing, and lets OpenRLHF measure how far they are
    apart.
    """
    sources, band = ("ppo.rollout_correction", *_own("async_rollout")), BANDS[ppo.correction]

    # With any level GSPO takes its ratio to the engines' probabilities (models/loss.py), so its
    # weights cannot be measured without being used.
    is_gspo = ppo.openrlhf.extra.get("actor.policy_loss_type") == "gspo"
    level = "seq" if band.of_response else "token"
    if ppo.correction == "none" and is_gspo:
        level = "off"

    yield Setting("algo.advantage.is_correction_level", level, sources)
    yield Setting(
        "algo.advantage.is_correction_mode", "clip" if band.truncates else "mask", sources
    )
    yield Setting("algo.advantage.is_correction_threshold", [band.low, band.high], sources)


def _optimiser(ppo: Ppo) -> Iterator[Setting]:
    rates = (
        ("actor", ppo.learning_rate, "ppo.learning_rate"),
        ("critic", ppo.critic_learning_rate, "ppo.critic_learning_rate"),
    )
    for model, rate, key in rates:
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
    sources = ("model.attention", *_own("packing"), _GPUS)
    yield Setting("ds.attn_implementation", attention(recipe), sources)

    yield Setting("ds.zero_stage", _ZERO_STAGES[own.sharding], _own("sharding"))
    yield Setting("ds.adam_offload", "optimizer" in own.offload, _own("offload"))
    yield Setting("ref.offload", "reference" in own.offload, _own("offload"))
    yield Setting("ds.packing_samples", own.packing, _own("packing"))
    yield Setting("ds.ring_attn_size", own.ring_attention, _own("ring_attention"))

    checkpointing, sources = ppo.gradient_checkpointing, ("ppo.gradient_checkpointing",)
    yield Setting("actor.gradient_checkpointing_enable", checkpointing, sources)


def _evaluation(recipe: Recipe, ppo: Ppo, files: OpenRlhfFiles) -> Iterator[Setting]:
    """OpenRLHF's evaluation while it trains, for which the bridge gives correctness alone."""
    every = ppo.eval_every
    if every is None or recipe.data.heldout is None:
        return

    sources = data_keys(recipe, "heldout", _ROWS)
    yield Setting("eval.dataset", str(files.heldout), sources)
    yield Setting("eval.split", "train")
    yield Setting("eval.steps", every, ("ppo.eval_every",))

    sampling = curve_sampling(recipe, ppo)
    yield Setting("eval.temperature", sampling.temperature, ("eval.temperature",))
    yield Setting("eval.n_samples_per_prompt", sampling.samples, ("eval.samples",))


def _saving(ppo: Ppo, files: OpenRlhfFiles, resume: Path | None) -> Iterator[Setting]:
    yield Setting("ckpt.output_dir", str(files.model))
    yield Setting("ckpt.path", str(files.checkpoints))
    yield Setting("ckpt.save_steps", ppo.save_every, ("ppo.save_every",))
    yield Setting("ckpt.max_num", _CHECKPOINTS_KEPT)

    # Checkpoints of the best evaluation would count towards the kept ones, under another name.
    yield Setting("ckpt.best_metric_key", "none")
    yield Setting("ckpt.load_enable", resume is not None)


def _trackers(recipe: Recipe, files: OpenRlhfFiles) -> Iterator[Setting]:
    yield Setting("logger.logging_steps", 1)
    if "tensorboard" in recipe.tracking.to:
        yield Setting("logger.tensorboard_dir", str(files.tensorboard), ("tracking.to",))

    if "wandb" in recipe.tracking.to:
        # Any value switches wandb on; the true key, which no command line may show, is taken from
        # the environment before this one.
        yield Setting("logger.wandb.key", "from-the-environment", ("tracking.to",))
        project = recipe.tracking.project or recipe.name
        yield Setting("logger.wandb.project", project, ("tracking.project", "name"))
        yield Setting("logger.wandb.run_name", f"{recipe.name}-ppo", ("name",))
