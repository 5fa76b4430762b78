"""Backends turn a stage of a recipe into a Job. `BACKENDS` is the table of them; `backend.py` says what each one is."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rlsp_cli.backends.axolotl import AxolotlBackend
from rlsp_cli.backends.backend import Backend
from rlsp_cli.backends.environment import Environment, usable_environment
from rlsp_cli.backends.job import Job
from rlsp_cli.backends.local import LocalBackend
from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.settings import unused
from rlsp_cli.backends.vllm import serving_environment
from rlsp_cli.errors import NotReadyError, RecipeError
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths

BACKENDS: Mapping[str, Backend] = {
    backend.name: backend for backend in (LocalBackend(), AxolotlBackend(), OpenRlhfBackend())
}
STAGES = ("sft", "ppo", "eval")
"""All stages, in the order in which they run."""


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """The stages that a recipe gives, in the order in which they run."""
    return tuple(stage for stage in STAGES if getattr(recipe, stage) is not None)


def backend_of(recipe: Recipe, stage: str) -> Backend:
    """The backend of a stage; evaluation is always local."""
    return BACKENDS[getattr(getattr(recipe, stage), "backend", "local")]


def check(recipe: Recipe) -> list[Issue]:
    """What a valid recipe asks for that the backends of its stages cannot do."""
    return [issue for stage in stages_of(recipe) for issue in _check_stage(recipe, stage)]


def ready_environment(recipe: Recipe, stage: str) -> Environment:
    """The environment of a stage's backend, which can run it.

    RecipeError for what this version of the backend cannot do; NotReadyError when it is missing or
    untested, or lacks a package that the recipe needs.
    """
    backend = backend_of(recipe, stage)
    environment = usable_environment(backend.name, recipe, backend.tested)
    if stage == "eval" and recipe.eval and recipe.eval.serve:
        serving_environment(recipe)
    if issues := list(backend.check(recipe, stage, environment)):
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
    """The job of one stage, for a run that will lie in `paths`; `resume` is the checkpoint to go on from.

    A function of its arguments and of the texts that come with rlsp: nothing is written, and no
        backend is asked.
    """
    return backend_of(recipe, stage).compile_job(recipe, stage, paths, environment, resume)


def compile_for(recipe: Recipe, stage: str, paths: RunPaths) -> Job:
    """The job of one stage for the environment that is there, from the newest whole checkpoint if there is one.

    Errors are those of `ready_environment`.
    """
    environment = ready_environment(recipe, stage)
    checkpoint = backend_of(recipe, stage).newest_checkpoint(paths.stage(stage))
    return compile_stage(recipe, stage, paths, environment, checkpoint)


def _check_stage(recipe: Recipe, stage: str) -> Iterator[Issue]:
    """What its backend cannot do, and keys of other backends, which have no effect on it."""
    backend = backend_of(recipe, stage)
    yield from backend.check(recipe, stage)
    for other in BACKENDS:
        if other != backend.name:
            yield from unused(recipe, [f"{stage}.{other}"], [], f"the {backend.name} backend")
