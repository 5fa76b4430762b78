"""A recipe made small: the same kinds of everything, in a minute on a CPU.

What is left out is said, never passed over: a smoke test must not seem to have tried it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlsp_cli.preflight import asks_a_server
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.smoke.data import few_rows
from rlsp_cli.smoke.model import tiny_model
from rlsp_cli.smoke.standin import StandIn

_STEPS = 2
_SEQUENCES = 2
"""Sequences in a forward pass."""
_TOKENS = 24
"""Longest response."""
_EXAMPLE = 2048
"""Longest example of SFT, in tokens."""
_PROMPTS = 4
_GROUP = 4
_RANK = 8

Sections = dict[str, Any]


class Small(NamedTuple):
    """The small recipe, and what in it stands for something else."""

    recipe: Recipe
    stand_ins: list[StandIn]


def shrink(recipe: Recipe, folder: Path) -> Small:
    """The recipe with a tiny model, few rows and two steps of each stage; files go into `folder`."""
    model, of_model = tiny_model(recipe, folder / "model")
    data, of_data = few_rows(recipe, folder)
    found: Sections = recipe.model_dump(mode="json")
    left_out = list(_left_out(recipe))

    found.update(
        model=model,
        data=data,
        models={},
        reward=_reward(recipe),
        continuation=None if _asks(recipe, "continuation") else found["continuation"],
        sft=_sft(recipe.sft) if recipe.sft and _has_rows(recipe) else None,
        ppo=_ppo(recipe, recipe.ppo) if recipe.ppo else None,
        eval=None if recipe.trains_prm else _eval(recipe),
        rounds=None,
        cluster={"env": recipe.cluster.env},
        tracking={},
        backends={},
    )
    if recipe.trains_prm:
        found["data"]["heldout"] = None
    small = resolve_recipe(found, plugins=resolve_options)
    return Small(small, [of_model, *of_data, *left_out])


def _has_rows(recipe: Recipe) -> bool:
    """Whether SFT has rows before any round has made some."""
    return recipe.sft is not None and getattr(recipe.data, recipe.sft.role) is not None


def _sft(sft: Sft) -> Sections:
    settings = sft.model_dump(mode="json")
    return {
        **settings,
        **_optimiser(sft),
        "backend": "local",
        "axolotl": {},
        "epochs": 1.0,
        "max_steps": _STEPS,
        "batch": 2 * _SEQUENCES,
        "max_length": min(sft.max_length, _EXAMPLE),
        "val_rows": min(sft.val_rows, _PROMPTS),
        "val_every": 1,
    }


def _ppo(recipe: Recipe, ppo: Ppo) -> Sections:
    # Two replies at least, of which it can be seen whether they vary; self-play needs an even number.
    group = max(2, min(ppo.samples_per_prompt, _GROUP) // 2 * 2)
    settings = ppo.model_dump(mode="json")
    own_play = "ppo.self_play" in _dropped(recipe)
    return {
        **settings,
        **_optimiser(ppo),
        "backend": "local",
        "openrlhf": {},
        "steps": _STEPS,
        "rollout_batch": _PROMPTS,
        "samples_per_prompt": group,
        "train_batch": _PROMPTS * group // 2,
        "epochs": 1,
        "max_new_tokens": min(ppo.max_new_tokens, _TOKENS),
        "sampler": "embedded",
        "rollout_correction": "auto",
        "critic_warmup_steps": min(ppo.critic_warmup_steps, 1),
        "select": None,
        "self_play": None if own_play else settings["self_play"],
        "teacher": None,
        "eval_every": _STEPS if ppo.eval_every else None,
        "export_every": None,
    }


def _optimiser(settings: Sft | Ppo) -> Sections:
    lora = settings.lora and settings.lora.model_dump(mode="json")
    if lora:
        lora.update(bits=None, rank=min(lora["rank"], _RANK))
    return {"lora": lora, "micro_batch": _SEQUENCES, "save_every": 1}


def _eval(recipe: Recipe) -> Sections:
    """The held-out problems, by the recipe's own prompt and verifier."""
    length = min(recipe.ppo.max_new_tokens if recipe.ppo else _TOKENS, _TOKENS)
    return {"benches": ["heldout"], "samples": 1, "max_new_tokens": length, "batch": _PROMPTS}


def _reward(recipe: Recipe) -> Sections:
    """The recipe's reward without what asks a model."""
    reward = recipe.reward
    found: Sections = reward.model_dump(mode="json")
    dropped = _dropped(recipe)
    uses = enumerate(found["exploration"])
    found["exploration"] = [u for n, u in uses if f"reward.exploration.{n}" not in dropped]
    if "reward.correctness" in dropped:
        found["correctness"] = {"use": "exact_match"}
    if reward.combine.startswith("process_") and not any(u["steps"] for u in found["exploration"]):
        found["combine"] = "rlsp"
    return {**found, "cache": None, "workers": min(reward.workers, 2)}


def _left_out(recipe: Recipe) -> Iterator[StandIn]:
    """What the small recipe does without."""
    for key in _dropped(recipe):
        instead = "exact_match" if key == "reward.correctness" else "nothing"
        yield StandIn(key, instead, "it asks a model, which is not loaded or paid for here")
    if recipe.rounds:
        yield StandIn(
            "rounds", "round 0", "a model with random weights solves nothing to go on with"
        )
    if recipe.sft and not _has_rows(recipe):
        yield StandIn("sft", "nothing", "its rows are made by rounds")

    ppo = recipe.ppo
    if ppo and ppo.select:
        why = "a model with random weights has no replies to choose from; `rlsp check` tries it"
        yield StandIn("ppo.select", "nothing", why)
    if ppo and ppo.teacher:
        yield StandIn("ppo.teacher", "nothing", "a teacher is not loaded here")
    yield from _elsewhere(recipe)


def _elsewhere(recipe: Recipe) -> Iterator[StandIn]:
    """What the embedded engine stands for, and the parts of evaluation that are left out."""
    for key, part in (("sft.backend", recipe.sft), ("ppo.backend", recipe.ppo)):
        if part and part.backend != "local":
            yield StandIn(key, "local", f"{part.backend} is not started; rlsp render shows its job")
    if recipe.ppo and recipe.ppo.sampler != "embedded":
        yield StandIn("ppo.sampler", "embedded", "vLLM is not started here")

    settings = recipe.eval
    if settings is None:
        return
    if benches := [name for name in settings.benches if name != "heldout"]:
        why = f"{', '.join(benches)}: only a few held-out problems are answered"
        yield StandIn("eval.benches", "heldout", why)
    for key in ("strategies", "probes", "search", "responses", "url"):
        if getattr(settings, key):
            yield StandIn(f"eval.{key}", "nothing", "`rlsp check` looks at it")


def _dropped(recipe: Recipe) -> list[str]:
    """The keys of plugins that ask a model or a server."""
    reward = recipe.reward
    found = []
    if asks_a_server(recipe, "verifier", reward.correctness):
        found.append("reward.correctness")
    for number, use in enumerate(reward.exploration):
        if asks_a_server(recipe, use.kind, use):
            found.append(f"reward.exploration.{number}")
    return [*found, *(key for key in ("continuation", "ppo.self_play") if _asks(recipe, key))]


def _asks(recipe: Recipe, key: str) -> bool:
    """Whether the continuation at this key asks a model."""
    game = recipe.ppo.self_play if recipe.ppo else None
    use = recipe.continuation if key == "continuation" else game
    return use is not None and bool(models_of("continuation", use, recipe.plugins))
