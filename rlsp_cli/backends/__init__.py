"""Backends turn stages into Jobs: `BACKENDS` lists them, `backend.py` is the contract."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rlsp_cli.backends.axolotl import AxolotlBackend
from rlsp_cli.backends.backend import Backend
from rlsp_cli.backends.environment import Environment, usable_environment
from rlsp_cli.backends.job import Job
from rlsp_cli.backends.local import LocalBackend
from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.settings import unused
from rlsp_cli.backends.vllm import rollout_environment, serving_environment
from rlsp_cli.errors import NotReadyError, RecipeError
from rlsp_cli.recipe.issue import Issue, stopping
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths

BACKENDS: Mapping[str, Backend] = {
    backend.name: backend for backend in (LocalBackend(), AxolotlBackend(), OpenRlhfBackend())
}
STAGES = ("sft", "ppo", "eval")
"""All stages in the order they run: each takes the model that the one before it published."""


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """The stages that a recipe gives, in the order in which they run."""
    return tuple(stage for stage in STAGES if getattr(recipe, stage) is not None)


def backend_of(recipe: Recipe, stage: str) -> Backend:
    """The backend of a stage; evaluation has no such key, and is always local."""
    return BACKENDS[getattr(getattr(recipe, stage), "backend", "local")]


def check(recipe: Recipe) -> list[Issue]:
    """What a valid recipe asks for that the backends of its stages cannot do."""
    issues: list[Issue] = []
    for stage in stages_of(recipe):
        issues += _check_stage(recipe, stage)
    return issues


def ready_environment(recipe: Recipe, stage: str) -> Environment:
    """Find the environment of a stage's backend and examine whether it can run the stage.

    The only step before a job that starts processes, some of which import torch: ask once for each
    stage of a command. RecipeError for what the installed version cannot do; NotReadyError for an
    environment that is missing or untested, or that lacks a package the recipe needs.
    """
    backend = backend_of(recipe, stage)
    environment = usable_environment(backend.name, recipe, backend.tested)

    # The embedded engine runs in our own environment, and borrows vLLM from another.
    if stage == "eval" and recipe.eval and recipe.eval.serve:
        serving_environment(recipe)
    if stage == "ppo" and recipe.ppo and recipe.ppo.sampler == "vllm":
        rollout_environment(recipe)

    # Two kinds of error, because the next move differs: edit the recipe, or install something.
    if issues := stopping(backend.check(recipe, stage, environment)):
        raise RecipeError("\n".join(f"{recipe.origin(issue.path)}: {issue}" for issue in issues))
    if issues := list(backend.missing_packages(recipe, stage, environment)):
        raise NotReadyError("; ".join(f"{issue.path}: {issue}" for issue in issues))
    return environment


def compile_stage(
    recipe: Recipe,
    stage: str,
    paths: RunPaths,
    environment: Environment,
    resume: Path | None = None,
) -> Job:
    """The job of one stage, for a run that will lie in `paths`; `resume` is a checkpoint.

    Depends on its arguments and on the templates alone: writes nothing and asks no backend.
    """
    return backend_of(recipe, stage).compile_job(recipe, stage, paths, environment, resume)


def compile_for(recipe: Recipe, stage: str, paths: RunPaths, environment: Environment) -> Job:
    """The job of one stage from its newest whole checkpoint, if any, for a ready environment.

    Compile a stage when it is its turn, and not earlier: the checkpoint is looked for now.
    """
    checkpoint = backend_of(recipe, stage).newest_checkpoint(paths.stage(stage))
    return compile_stage(recipe, stage, paths, environment, checkpoint)


def _check_stage(recipe: Recipe, stage: str) -> Iterator[Issue]:
    """What its backend cannot do, and keys for other backends, which would have no effect."""
    backend = backend_of(recipe, stage)
    yield from backend.check(recipe, stage)
    for other in BACKENDS:
        if other != backend.name:
            yield from unused(recipe, [f"{stage}.{other}"], [], f"the {backend.name} backend")
