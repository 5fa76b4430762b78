"""Backends turn a stage of a recipe into a Job; to add one, write a folder with `check` and `compile`, list it here."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rlsp_cli.backends import axolotl, local, openrlhf
from rlsp_cli.backends.environment import Environment, usable_environment
from rlsp_cli.backends.job import Job
from rlsp_cli.backends.openrlhf.server import serving_environment
from rlsp_cli.backends.setting import unused
from rlsp_cli.errors import NotReadyError, PluginError, RecipeError
from rlsp_cli.evals.benches import check_benches
from rlsp_cli.evals.overlap import check_overlap
from rlsp_cli.evals.strategies import check_scorer
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.paths import RunPaths

BACKENDS: dict[str, ModuleType] = {"local": local, "axolotl": axolotl, "openrlhf": openrlhf}
STAGES = ("sft", "ppo", "eval")


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """The stages that a recipe gives, in the order in which they run."""
    return tuple(stage for stage in STAGES if getattr(recipe, stage) is not None)


def backend_of(recipe: Recipe, stage: str) -> str:
    """Name of the backend of a stage; evaluation is always local."""
    return str(getattr(getattr(recipe, stage), "backend", "local"))


def check(recipe: Recipe) -> list[Issue]:
    """What a valid recipe asks for that its backends cannot do, its benches, and training data that holds them."""
    found = [problem for stage in stages_of(recipe) for problem in _check_stage(recipe, stage)]
    return [*found, *check_benches(recipe), *check_scorer(recipe), *_check_lexicon(recipe), *check_overlap(recipe)]


def compile_stage(
    recipe: Recipe, stage: str, paths: RunPaths, environment: Environment, resume: Path | None = None
) -> Job:
    """The job of one stage, for a run that will lie in `paths`; `resume` is the checkpoint to go on from.

    A function of its arguments and of the texts that come with rlsp: nothing is written, and no backend is asked.
    """
    job: Job = BACKENDS[backend_of(recipe, stage)].compile(recipe, stage, paths, environment, resume)
    return job


def ready_environment(recipe: Recipe, stage: str) -> Environment:
    """The environment of a stage's backend, which can run it.

    RecipeError for what this version of the backend cannot do; NotReadyError when it is missing or untested, or lacks
    a package that the recipe needs.
    """
    backend = BACKENDS[backend_of(recipe, stage)]
    environment = usable_environment(backend_of(recipe, stage), recipe, backend.TESTED)
    if stage == "eval" and recipe.eval and recipe.eval.serve:
        serving_environment(recipe)
    if problems := list(backend.check(recipe, stage, environment)):
        raise RecipeError("\n".join(f"{recipe.origin(problem.path)}: {problem}" for problem in problems))
    if problems := backend.lacking(recipe, stage, environment):
        raise NotReadyError("; ".join(f"{problem.path}: {problem}" for problem in problems))
    return environment


def compile_for(recipe: Recipe, stage: str, paths: RunPaths) -> Job:
    """The job of one stage for the environment that is there, from the newest whole checkpoint if there is one.

    Errors are those of `ready_environment`.
    """
    environment = ready_environment(recipe, stage)
    checkpoint = BACKENDS[backend_of(recipe, stage)].newest_checkpoint(paths.stage(stage))
    return compile_stage(recipe, stage, paths, environment, checkpoint)


def _check_lexicon(recipe: Recipe) -> Iterator[Issue]:
    try:
        load_lexicon(recipe.reward.lexicon)
    except PluginError as error:
        yield Issue("reward.lexicon", str(error))


def _check_stage(recipe: Recipe, stage: str) -> Iterator[Issue]:
    name = backend_of(recipe, stage)
    yield from BACKENDS[name].check(recipe, stage)
    for other in BACKENDS:
        if other != name:
            yield from unused(recipe, [f"{stage}.{other}"], [], f"the {name} backend")
