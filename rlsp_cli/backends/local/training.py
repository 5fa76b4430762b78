"""The training stages of the child process: the surroundings from the run folder, then the engine."""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import torch

from rlsp_cli.backends.local.models import starting_model
from rlsp_cli.backends.local.rollouts import served_policy
from rlsp_cli.backends.local.room import refuse_too_large
from rlsp_cli.backends.local.sampling import continuer_for, continuer_of
from rlsp_cli.backends.local.teacher import load_teacher
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.data import (
    Problem,
    forget_rows,
    preference_rows,
    prompt_rows,
    recipe_problems,
    recipe_traces,
    step_rows,
)
from rlsp_cli.engine.dialogue import dialogue_of
from rlsp_cli.engine.dpo import train_dpo
from rlsp_cli.engine.hints import hinted_prompts
from rlsp_cli.engine.model import pick_device, refuse_overflow
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.precision import computes_in_bfloat16
from rlsp_cli.engine.prm import train_prm
from rlsp_cli.engine.prompt import fitting
from rlsp_cli.engine.self_play import self_play_of
from rlsp_cli.engine.sft import train_sft
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.engine.trackers import Trackers, tracking
from rlsp_cli.engine.trial import handling_of, refuse_leaks
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.rewards.model_use import models_at
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print


def sft(recipe: Recipe, paths: RunPaths, inputs: dict[str, Any], stop: StopFlag) -> None:
    """SFT on the recipe's traces, labelled steps or pairs."""
    assert recipe.sft, "checked by the recipe"
    # The data first: it is refused before a model is loaded.
    train = _trainers[recipe.sft.kind](recipe, recipe.sft)
    with tracking(recipe, "sft", paths.stage("sft")) as trackers:
        train(_context(recipe, paths, "sft", inputs, stop, trackers))


def _imitation(recipe: Recipe, settings: Sft) -> Callable[[Context], None]:
    traces = recipe_traces(recipe)
    refuse_overlap(recipe, "traces", traces)
    return lambda context: train_sft(context, settings, traces)


def _step_labels(recipe: Recipe, settings: Sft) -> Callable[[Context], None]:
    source = recipe.data.steps
    assert source, "checked by the recipe"
    rows = step_rows(source, recipe.plugins)
    return lambda context: train_prm(context, settings, source, rows)


def _preferences(recipe: Recipe, settings: Sft) -> Callable[[Context], None]:
    assert recipe.data.pairs, "checked by the recipe"
    pairs = preference_rows(recipe.data.pairs, recipe.plugins)
    refuse_overlap(recipe, "pairs", pairs)
    return lambda context: train_dpo(context, settings, pairs)


_trainers = {"sft": _imitation, "prm": _step_labels, "dpo": _preferences}


def ppo(recipe: Recipe, paths: RunPaths, inputs: dict[str, Any], stop: StopFlag) -> None:
    """PPO on the recipe's prompts."""
    assert recipe.ppo and recipe.data.prompts, "checked by the recipe"
    problems = recipe_problems(recipe)
    refuse_overlap(recipe, "prompts", problems)

    with ExitStack() as stack:
        trackers = stack.enter_context(tracking(recipe, "ppo", paths.stage("ppo")))
        context = _context(recipe, paths, "ppo", inputs, stop, trackers)
        fit = list(fitting(problems, recipe, context.tokenizer, lambda text: print(f"ppo: {text}")))
        kept, prompts = [problem for problem, _ in fit], [ids for _, ids in fit]
        prompts += [one.ids for one in hinted_prompts(kept, recipe, context.tokenizer).values()]
        refuse_overflow(context.model, prompts, recipe.ppo.max_new_tokens)

        sampler = None
        if recipe.ppo.sampler == "vllm":
            sampler = stack.enter_context(served_policy(context, recipe.ppo, prompts))
        asked = models_at(recipe, "reward", "ppo.select", "ppo.self_play", "continuation")
        folder, tick = paths.stage("ppo").root, stop.leave_if_set
        models = stack.enter_context(served_models(recipe, asked, folder, tick))
        scorer = stack.enter_context(Scorer(recipe.reward, recipe.plugins, models))
        selector = None
        if recipe.ppo.select:
            chosen = Selector(recipe.ppo.select, recipe.reward, recipe.plugins, models)
            selector = stack.enter_context(chosen)
        continuer = stack.enter_context(continuer_of(recipe, models))
        dialogue = dialogue_of(continuer, context.tokenizer) if continuer else None
        leader = stack.enter_context(continuer_for(recipe.ppo.self_play, recipe, models))
        self_play = self_play_of(leader, context.tokenizer, recipe.data) if leader else None
        heldout = _heldout(recipe)
        teacher = load_teacher(context, recipe.ppo, prompts)
        trainer = PpoTrainer(
            context,
            recipe.ppo,
            kept,
            scorer,
            sampler,
            heldout,
            selector,
            teacher,
            dialogue,
            self_play,
        )
        trainer.run()


def _heldout(recipe: Recipe) -> Collection[Problem]:
    """The problems of the held-out curve; none without one."""
    wanted = recipe.ppo and recipe.ppo.eval_every and recipe.data.heldout
    return prompt_rows(wanted, recipe.plugins) if wanted else ()


def _context(
    recipe: Recipe,
    paths: RunPaths,
    stage: str,
    inputs: dict[str, Any],
    stop: StopFlag,
    trackers: Trackers,
) -> Context:
    device = pick_device(recipe.cluster.gpus_per_node)
    settings = recipe.sft if stage == "sft" else recipe.ppo
    if inputs["model"]:
        refuse_too_large(inputs["model"], device, settings, recipe.model.precision)
    model, tokenizer = starting_model(recipe, inputs["model"], device)
    forget_rows()

    if settings and settings.lora and computes_in_bfloat16(model, recipe.model.precision):
        # Frozen weights are only computed with, so half the memory does for them.
        model = model.to(torch.bfloat16)
    refuse_leaks(model)
    if _samples_here(recipe):
        handling_of(model)
    return Context(recipe, paths.stage(stage), model, tokenizer, device, stop, trackers)


def _samples_here(recipe: Recipe) -> bool:
    """Whether this or a later stage samples in this engine: better refused before hours of training."""
    evaluation, ppo = recipe.eval, recipe.ppo
    elsewhere = evaluation is None or evaluation.serve or evaluation.url or evaluation.responses
    return (
        ppo is not None
        and ppo.backend == "local"
        and (ppo.sampler == "embedded" or ppo.eval_every is not None)
    ) or not elsewhere
