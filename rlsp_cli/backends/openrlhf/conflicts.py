"""What a recipe may say and OpenRLHF does otherwise, or not at all."""

from collections.abc import Iterator

from rlsp_cli.backends.context_length import overflow
from rlsp_cli.backends.group_rewards import single_response_groups
from rlsp_cli.backends.openrlhf.config import BAND, attention
from rlsp_cli.backends.ray_address import is_dashboard
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schedule import Schedule
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.selector_use import SelectorUse

_TRACKERS = ("wandb", "tensorboard")
_KEEPS_PACKED_APART = ("flash_attention_2", "flash_attention_3")
_ALWAYS_WHITENED = ("gae", "reinforce", "reinforce_baseline")
_NO_CLIP = 1e6
"""A `ppo.grad_clip` that no norm reaches."""


def conflicts(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    """What is refused beyond what the command's own parser refuses."""
    yield from _model(recipe, ppo)
    yield from _packing(recipe, ppo)
    yield from _offload(ppo)
    yield from _algorithm(ppo)
    yield from _extra(ppo)
    yield from _rewards(recipe, ppo)
    yield from _turns(recipe, ppo)
    yield from _prompts(recipe)
    yield from _machines(recipe)
    yield from _watching(recipe, ppo)


def _model(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    if recipe.model.precision == "float32":
        yield Issue("model.precision", "OpenRLHF trains in bfloat16", "set it to auto or bfloat16")

    # With an SFT stage before it, OpenRLHF gets a folder that has the tokens and needs no revision.
    if recipe.model.special_tokens and recipe.sft is None:
        hint = "add them in an sft stage, which trains their embeddings"
        yield Issue("model.special_tokens", "OpenRLHF adds no tokens to a model", hint)
    if recipe.model.path and "@" in recipe.model.path and recipe.sft is None:
        hint = "download that revision, and give its folder"
        yield Issue("model.path", "OpenRLHF takes no revision of a hub model", hint)

    longest, hint = ppo.max_prompt_tokens + ppo.max_new_tokens, "lower it, or ppo.max_new_tokens"
    yield from overflow(recipe.model, longest, "ppo.max_prompt_tokens", "prompt and response", hint)


def _packing(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    path, own = "ppo.openrlhf.packing", ppo.openrlhf
    if own.packing and attention(recipe) not in _KEEPS_PACKED_APART:
        message = f"with {attention(recipe)} attention, packed responses would see each other"
        yield Issue(path, message, "set model.attention to auto")
    if own.packing and not recipe.cluster.gpus_per_node:
        message = "it needs GPUs, and cluster.gpus_per_node is 0"
        yield Issue(path, message, "set it, or leave it out")

    if own.ring_attention > 1 and not own.packing:
        hint = "set ppo.openrlhf.packing: true"
        yield Issue("ppo.openrlhf.ring_attention", "it needs packed responses", hint)


def _offload(ppo: Ppo) -> Iterator[Issue]:
    path, sharding = "ppo.openrlhf.offload", ppo.openrlhf.sharding
    if "reference" in ppo.openrlhf.offload and sharding != "zero3":
        message = f"with {sharding} DeepSpeed leaves the reference on the GPU"
        yield Issue(path, message, "set ppo.openrlhf.sharding: zero3, or leave reference out")

    if "optimizer" in ppo.openrlhf.offload and sharding == "none":
        message = "without sharding DeepSpeed's Adam for the CPU finds the weights on the GPU"
        yield Issue(path, message, "set ppo.openrlhf.sharding: zero2, also on one GPU")


def _algorithm(ppo: Ppo) -> Iterator[Issue]:
    if ppo.lora is not None:
        message = "OpenRLHF trains adapters, but vLLM knows no weights of their names"
        yield Issue("ppo.lora", message, "leave it out, or train with the local backend")
    if ppo.estimator == "gae" and ppo.critic != "own":
        yield Issue("ppo.critic", "OpenRLHF's critic is a model of its own", "set it to own")

    if not ppo.whiten_advantages and ppo.estimator in _ALWAYS_WHITENED:
        message = f"OpenRLHF always whitens for {ppo.estimator}"
        yield Issue("ppo.whiten_advantages", message, "set it to true")

    if ppo.schedule == "linear" and ppo.min_lr_ratio:
        message = "OpenRLHF's linear schedule ends at 0"
        yield Issue("ppo.min_lr_ratio", message, "set it to 0, or schedule: cosine")

    # OpenRLHF sets gamma to 1 for these estimators itself, with a warning in its log.
    if ppo.gamma != 1 and ppo.needs_groups:
        yield Issue("ppo.gamma", f"OpenRLHF does not discount for {ppo.estimator}", "set it to 1")

    if ppo.select is not None:
        yield from _selector(ppo, ppo.select)


def _selector(ppo: Ppo, selector: SelectorUse) -> Iterator[Issue]:
    """OpenRLHF can drop prompts by their mean score alone, before rlsp sees the whole rollout."""
    name = selector.use
    if name != BAND:
        message = f"OpenRLHF drops prompts by a band of mean correctness, which {name} is not"
        hint = "set use: pass_rate with lo and hi, or train with the local backend"
        if name == "zero_variance":
            hint = "for verdicts of right and wrong, use: pass_rate with lo: 0.001, hi: 0.999"
        yield Issue("ppo.select.use", message, hint)
    elif ppo.samples_per_prompt < 2:
        message = "one sample tells nothing of a prompt's difficulty"
        yield Issue("ppo.select", message, "set ppo.samples_per_prompt to 2 or more")

    for key, value in selector.options.items():
        if isinstance(value, Schedule):
            message = "OpenRLHF's band is the same in all steps"
            yield Issue(
                f"ppo.select.{key}", message, "set a number, or train with the local backend"
            )


def _extra(ppo: Ppo) -> Iterator[Issue]:
    """Options that `ppo.openrlhf.extra` may set, but not to any value."""
    extra = ppo.openrlhf.extra
    for model in ("actor", "critic"):
        if extra.get(f"{model}.optim") == "muon" and ppo.grad_clip < _NO_CLIP:
            step = "Muon's finished step, whose norm is in the hundreds"
            message = f"DeepSpeed clips {step}, not its gradient"
            hint = f"set ppo.grad_clip: {_NO_CLIP:.1e}, which clips nothing"
            yield Issue(f"ppo.openrlhf.extra.{model}.optim", message, hint)

    kept = extra.get("ckpt.max_num", 2)
    if not isinstance(kept, int) or kept < 2:
        message = f"{kept} checkpoints: OpenRLHF deletes old ones before the new one is whole"
        yield Issue("ppo.openrlhf.extra.ckpt.max_num", message, "set it to 2 or more")


def _dense(ppo: Ppo) -> Iterator[Issue]:
    """What rewards of single steps need of OpenRLHF, where they are an experiment."""
    local = "train with the local backend"
    if ppo.openrlhf.async_rollout != "none":
        message = "dense rewards of steps need rollouts that are not asynchronous"
        yield Issue("reward.exploration", message, f"set async_rollout: none, or {local}")
    if ppo.advantages == "separate":
        message = "dense rewards of steps have no baseline of their own on OpenRLHF"
        yield Issue("reward.exploration", message, f"leave out ppo.advantages, or {local}")
    else:
        message = "dense rewards of steps are experimental on OpenRLHF"
        yield Note("reward.exploration", message)


def _rewards(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    if recipe.reward.is_dense:
        yield from _dense(ppo)

    # The service knows a sample's step exactly only where a rollout ends before the next begins.
    if isinstance(recipe.reward.alpha, Schedule) and ppo.openrlhf.async_rollout != "none":
        message = "a schedule of alpha needs to know each sample's step, which async rollouts blur"
        hint = "set ppo.openrlhf.async_rollout: none, or alpha to a number"
        yield Issue("reward.alpha", message, hint)
    yield from single_response_groups(recipe, ppo)


def _turns(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    # Between two turns the weights, and the step that the service counts, may change.
    if recipe.continuation is not None and ppo.openrlhf.async_rollout != "none":
        message = "a continuation needs rollouts that are not asynchronous"
        hint = "set ppo.openrlhf.async_rollout: none, or leave it out"
        yield Issue("continuation", message, hint)
    for key, wanted in (("self_play", ppo.self_play), ("estimator", ppo.estimator == "role")):
        if wanted:
            message = "OpenRLHF has no games in which the policy plays both seats"
            yield Issue(f"ppo.{key}", message, "leave it out, or train with the local backend")


def _prompts(recipe: Recipe) -> Iterator[Issue]:
    for number, source in enumerate(recipe.data.prompt_sources):
        if isinstance(source.weight, Schedule):
            path = f"data.prompts.{number}.weight"
            message = "OpenRLHF shuffles all prompts, so weights cannot change over its steps"
            yield Issue(path, message, "set a number, or train with the local backend")


def _machines(recipe: Recipe) -> Iterator[Issue]:
    cluster = recipe.cluster
    if cluster.launcher not in ("local", "ray", "slurm"):
        message = f"OpenRLHF runs on Ray, which {cluster.launcher} does not start"
        yield Issue("cluster.launcher", message, "set it to local, ray or slurm")

    if cluster.nodes > 1 and cluster.launcher == "local":
        yield Issue("cluster.launcher", "local is one machine", "set it to ray or slurm")

    if cluster.ray_address and not is_dashboard(cluster.ray_address):
        message = f"{cluster.ray_address!r} is no dashboard"
        hint = "give the address of its jobs API, as http://HOST:8265"
        yield Issue("cluster.ray_address", message, hint)

    # Elsewhere a head without GPUs claims to have some; the batch script offers what Slurm gave.
    if not cluster.gpus_per_node and cluster.launcher == "slurm":
        message = "a Slurm job of OpenRLHF needs GPUs"
        yield Issue("cluster.launcher", message, "set cluster.gpus_per_node")


def _watching(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    for tracker in recipe.tracking.to:
        if tracker not in _TRACKERS:
            message = f"OpenRLHF does not know {tracker}"
            yield Issue("tracking.to", message, f"it knows {' and '.join(_TRACKERS)}")
