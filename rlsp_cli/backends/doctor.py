"""Is a backend's environment ready, and for this recipe?"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.backends import BACKENDS, backend_of, stages_of
from rlsp_cli.backends.environment import Environment, find_environment
from rlsp_cli.backends.install import lock_file, pins
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class Finding:
    """What was found in one backend's environment; `problems` is empty when it is ready."""

    backend: str
    python: str | None = None
    version: str | None = None
    gpus: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())


def examine(backend: str, recipe: Recipe | None = None) -> Finding:
    """Load the backend in its own interpreter, compare its packages with the lock, and look for GPUs."""
    module = BACKENDS[backend]
    try:
        environment = find_environment(backend, recipe)
        found = module.probe(environment)
    except NotReadyError as error:
        return Finding(backend, problems=(str(error),))
    problems: list[str] = [
        *_untested(backend, environment.version, environment.allow_untested),
        *_differences(backend, found),
    ]
    if recipe is not None:
        problems += _recipe_problems(environment, recipe, found)
    return Finding(backend, " ".join(environment.command), environment.version, tuple(found["gpus"]), tuple(problems))


def _untested(backend: str, version: str, allowed: bool) -> Iterator[str]:
    tested = BACKENDS[backend].TESTED
    if version not in tested and not allowed:
        yield f"version {version} is not among those tested: {', '.join(tested)}"


def _differences(backend: str, found: dict[str, Any]) -> Iterator[str]:
    """Packages that the lock has and the environment has not, or in another version."""
    if backend == "local":
        return
    lock = pins(lock_file(backend, "gpu" if found["gpus"] else "cpu"))
    if found["packages"].get(backend) != lock[backend]:
        return  # another version of the backend has other needs
    for name, version in lock.items():
        there = found["packages"].get(name.replace("_", "-"), found["packages"].get(name.replace("-", "_")))
        if there is None:
            yield f"{name} is missing (the lock has {version})"
        elif there.partition("+")[0] != version:
            yield f"{name} is {there}, the lock has {version}"


def _recipe_problems(environment: Environment, recipe: Recipe, found: dict[str, Any]) -> Iterator[str]:
    backend = environment.backend
    wanted = min(recipe.cluster.gpus_per_node, 1) if backend == "local" else recipe.cluster.gpus_per_node
    if wanted > len(found["gpus"]) and recipe.cluster.launcher != "slurm":
        yield f"the recipe wants {wanted} GPUs on each machine, this one has {len(found['gpus'])}"
    for stage in stages_of(recipe):
        if backend_of(recipe, stage) == backend:
            yield from (f"{problem.path}: {problem}" for problem in BACKENDS[backend].check(recipe, stage, environment))
