"""The training stages of the child process: the surroundings from the run folder, then the engine."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

import torch

from rlsp_cli.backends.local.models import starting_model
from rlsp_cli.backends.local.rollouts import served_policy
from rlsp_cli.backends.local.room import refuse_too_large
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.data import (
    Problem,
    forget_rows,
    prompt_rows,
    recipe_problems,
    recipe_traces,
    step_rows,
)
from rlsp_cli.engine.model import pick_device, refuse_overflow
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.precision import computes_in_bfloat16
from rlsp_cli.engine.prm import train_prm
from rlsp_cli.engine.prompt import fitting
from rlsp_cli.engine.sft import train_sft
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.engine.trackers import Trackers, tracking
from rlsp_cli.engine.trial import handling_of, refuse_leaks
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.schema import Recipe, Sft
from rlsp_cli.rewards.model_use import models_at
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print


def sft(recipe: Recipe, paths: RunPaths, inputs: dict[str, Any], stop: StopFlag) -> None:
    """SFT on the recipe's traces, or of a process reward model on its labelled steps."""
    assert recipe.sft, "checked by the recipe"
    if recipe.trains_prm:
        _prm(recipe, recipe.sft, paths, inputs, stop)
        return

    traces = recipe_traces(recipe)
    refuse_overlap(recipe, "traces", traces)
    with tracking(recipe, "sft", paths.stage("sft")) as trackers:
        context = _context(recipe, paths, "sft", inputs, stop, trackers)
        train_sft(context, recipe.sft, traces)


def _prm(
    recipe: Recipe, settings: Sft, paths: RunPaths, inputs: dict[str, Any], stop: StopFlag
) -> None:
    assert recipe.data.steps, "checked by the recipe"
    rows = step_rows(recipe.data.steps, recipe.plugins)
    with tracking(recipe, "sft", paths.stage("sft")) as trackers:
        context = _context(recipe, paths, "sft", inputs, stop, trackers)
        train_prm(context, settings, recipe.data.steps, rows)


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
        refuse_overflow(context.model, prompts, recipe.ppo.max_new_tokens)

        sampler = None
        if recipe.ppo.sampler == "vllm":
            sampler = stack.enter_context(served_policy(context, recipe.ppo, prompts))
        asked = models_at(recipe, "reward", "ppo.select")
        folder, tick = paths.stage("ppo").root, stop.leave_if_set
        models = stack.enter_context(served_models(recipe, asked, folder, tick))
        scorer = stack.enter_context(Scorer(recipe.reward, recipe.plugins, models))
        selector = None
        if recipe.ppo.select:
            chosen = Selector(recipe.ppo.select, recipe.reward, recipe.plugins, models)
            selector = stack.enter_context(chosen)
        heldout = _heldout(recipe)
        PpoTrainer(context, recipe.ppo, kept, scorer, sampler, heldout, selector).run()


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
