"""OpenRLHF as a backend of PPO: a command for its Ray cluster, with our rewards in it."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

from rlsp_cli.backends.backend import Backend
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.job import Job, Resources
from rlsp_cli.backends.need import missing
from rlsp_cli.backends.openrlhf.batch import batch_problems
from rlsp_cli.backends.openrlhf.checkpoint import RESTORED, newest_checkpoint
from rlsp_cli.backends.openrlhf.config import settings, start
from rlsp_cli.backends.openrlhf.conflicts import conflicts
from rlsp_cli.backends.openrlhf.files import SHIPPED, STOP_FILE, OpenRlhfFiles
from rlsp_cli.backends.openrlhf.flags import TESTED, parser_error, words
from rlsp_cli.backends.openrlhf.hook_check import misfit
from rlsp_cli.backends.openrlhf.install import prepare_cpu
from rlsp_cli.backends.openrlhf.needs import NEEDS
from rlsp_cli.backends.openrlhf.options import extra_problems
from rlsp_cli.backends.openrlhf.placement import placement_problems, roles
from rlsp_cli.backends.probe import Probe, run_probe
from rlsp_cli.backends.ray_address import read_ray_address
from rlsp_cli.backends.ray_job import NodeNeeds, RayJob
from rlsp_cli.backends.ray_sbatch import ray_batch_script
from rlsp_cli.backends.sbatch import BATCH
from rlsp_cli.backends.sections import ppo_section
from rlsp_cli.backends.settings import Setting, unused, with_extra
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.share import share

SCOPE = ("model", "data.prompts", "data.system", "data.template", "ppo", "cluster", "tracking")
"""Parts of a recipe that this backend must honour or refuse."""
_READ_ELSEWHERE = (
    *("ppo.backend", "ppo.advantages", "ppo.export_every", "ppo.max_prompt_tokens"),
    *("ppo.whiten_advantages", "ppo.openrlhf.extra", "ppo.openrlhf.quiet_limit_s"),
    *("model.chat_template", "tracking.project"),
    *("cluster.launcher", "cluster.port", "cluster.join_timeout_s", "cluster.ray_address"),
    *("cluster.env", "cluster.slurm"),
)
"""Keys that no option names: they decide the job around it, or matter beside another key."""
_ANY_RUN = RunPaths(Path("run"))
"""Stands for a run folder where only options and values matter, and not the paths in them."""

_SECRETS = ("WANDB_API_KEY", "HF_TOKEN")
_PASSED = (
    *("HF_ENDPOINT", "HF_HUB_OFFLINE", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_MODE"),
    *("WANDB_NOTES", "WANDB_RUN_GROUP", "WANDB_TAGS"),
)
"""Variables that mean the same on every machine, and so are passed on like the secrets."""
_DRIVERS_OWN = ("TOKENIZERS_PARALLELISM", "NCCL_DEBUG", "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS")
"""Variables that OpenRLHF's driver gives to its workers itself.

In the job's runtime environment they would end the driver: Ray merges no variable that both name.
The driver takes them from its own environment.
"""
_CLUSTER_PACKAGES = ("openrlhf", "ray", "torch", "vllm", "deepspeed", "transformers")
"""What must be the same in the interpreters of all nodes."""
_WANDB_ID_LENGTH = 64
"""Characters of a run's id in Weights & Biases."""
_QUIET = {"DO_NOT_TRACK": "1", "RAY_DEDUP_LOGS": "0"}
_ON_CPU = {
    "RLSP_OPENRLHF_CPU": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # no worker beside vLLM's engine
    "OMP_NUM_THREADS": "1",
    "DS_BUILD_OPS": "0",  # or DeepSpeed compiles its CUDA code
    "HF_HUB_OFFLINE": "1",  # no process asks the hub for a model that the setup has written
}
"""What the CPU profile's environment needs to run without GPUs."""


class OpenRlhfBackend(Backend):
    """OpenRLHF's training on Ray, driven by `launch.ray`, between a setup and a finish of ours."""

    name = "openrlhf"
    stages = ("ppo",)
    tested = TESTED

    def check(
        self, recipe: Recipe, stage: str, environment: Environment | None = None
    ) -> Iterator[Issue]:
        """What OpenRLHF cannot do; the parser of an installed version is asked about its command."""
        ppo = ppo_section(recipe)
        if _in_container(recipe, environment):
            message = "OpenRLHF runs in Ray's processes, and rlsp does not start Ray in a container"
            start_inside = "start rlsp inside the container"
            hint = f"{start_inside}, or give python: an interpreter that has openrlhf"
            yield Issue("backends.openrlhf.container", message, hint)
            return

        yield from placement_problems(ppo, recipe.cluster)
        yield from batch_problems(recipe, ppo)
        yield from conflicts(recipe, ppo)
        yield from extra_problems(ppo.openrlhf.extra)

        used = list(_READ_ELSEWHERE)
        for setting in settings(recipe, ppo, _ANY_RUN):
            used += setting.sources
        yield from unused(recipe, SCOPE, used, "OpenRLHF")

        if environment is not None:
            yield from _refused_command(environment, self.rendered(recipe, _ANY_RUN))

    def missing_packages(
        self, recipe: Recipe, stage: str, environment: Environment
    ) -> Sequence[Issue]:
        """Packages that the options need and the environment does not have.

        UsageError or NotReadyError for a Ray address, token or header with which no cluster can be
        asked.
        """
        # The job would find out for itself, but after the stages before it. On Slurm the batch
        # script starts a cluster of its own, whatever RAY_ADDRESS says.
        named = recipe.cluster.ray_address
        address = named or os.environ.get("RAY_ADDRESS")
        if address and recipe.cluster.launcher != "slurm":
            read_ray_address(address, "cluster.ray_address" if named else "RAY_ADDRESS")

        return missing(environment, self.rendered(recipe, _ANY_RUN), NEEDS)

    def compile_job(
        self,
        recipe: Recipe,
        stage: str,
        paths: RunPaths,
        environment: Environment,
        resume: Path | None = None,
    ) -> Job:
        """Our driver's command, what the cluster runs, and the files shipped to every machine."""
        files, cluster = OpenRlhfFiles(paths.stage(stage)), recipe.cluster
        ours, job = (sys.executable, "-P", "-m"), str(files.stage.job)
        step = (*ours, "rlsp_cli.backends.openrlhf")

        templates = share("templates") / "openrlhf"
        texts = {name: (templates / name).read_text(encoding="utf-8") for name in SHIPPED}
        on_slurm = cluster.launcher == "slurm"
        if on_slurm:
            texts[BATCH] = _batch_script(recipe, stage, files, environment.python(paths.root))

        return Job(
            stage=stage,
            backend=self.name,
            argv=(*ours, "rlsp_cli.launch.ray", job),
            setup=((*step, "setup", job),),
            finish=((*step, "finish", job),),
            batch=BATCH if on_slurm else None,
            stop_file=STOP_FILE,
            env=cluster.env,
            resumes=f"going on from {resume.name}: {RESTORED}" if resume else None,
            files=texts,
            resources=Resources(cluster.nodes, cluster.gpus_per_node),
            inputs={
                "run": str(paths.root),
                "model": start(recipe, paths),
                "version": environment.version,
                "resume": str(resume) if resume else None,
                "ray": _ray_job(recipe, ppo_section(recipe), paths, environment, resume).to_json(),
            },
        )

    def newest_checkpoint(self, paths: StagePaths) -> Path | None:
        """The newest `_actor/global_stepN` that is whole."""
        return newest_checkpoint(OpenRlhfFiles(paths))

    def probe(self, environment: Environment) -> Probe:
        """What the environment has; its problem is where our hook would not fit."""
        problem = misfit(environment)
        return replace(run_probe(environment), problems=(problem,) if problem else ())

    def finish_install(self, profile: str, packages: Path) -> None:
        """What OpenRLHF without a GPU needs beside its packages."""
        if profile == "cpu":
            prepare_cpu(packages)

    def rendered(self, recipe: Recipe, paths: RunPaths) -> list[Setting]:
        """The command's options, `ppo.openrlhf.extra` included."""
        return _rendered(recipe, paths)


def _rendered(recipe: Recipe, paths: RunPaths, resume: Path | None = None) -> list[Setting]:
    ppo = ppo_section(recipe)
    own = settings(recipe, ppo, paths, resume)
    return with_extra(own, ppo.openrlhf.extra, "ppo.openrlhf.extra")


def _refused_command(environment: Environment, options: Sequence[Setting]) -> Iterator[Issue]:
    """What the installed parser has against the command."""
    error = parser_error(environment, words(options))
    if error is None:
        return

    hint = f"install {TESTED[-1]}, which rlsp is tested with"
    if environment.version in TESTED:
        hint = "change the keys that it names"
    yield Issue("ppo", f"OpenRLHF {environment.version} refuses its command: {error}", hint)


def _batch_script(recipe: Recipe, stage: str, files: OpenRlhfFiles, python: Sequence[str]) -> str:
    return ray_batch_script(
        recipe.cluster,
        name=f"{recipe.name}-{stage}",
        python=python,
        ours=sys.executable,
        job=files.stage.job,
        stop_file=files.stage.root / STOP_FILE,
        env=recipe.cluster.env,
    )


def _ray_job(
    recipe: Recipe, ppo: Ppo, paths: RunPaths, environment: Environment, resume: Path | None
) -> RayJob:
    """What `launch.ray` submits."""
    job, cluster, placed = str(paths.stage("ppo").job), recipe.cluster, roles(ppo, recipe.cluster)
    python = environment.python(paths.root)
    logs_to_wandb = "wandb" in recipe.tracking.to
    return RayJob(
        python=python,
        entrypoint=_entrypoint(recipe, python, words(_rendered(recipe, paths, resume))),
        env=_variables(recipe, ppo, paths),
        # Ray calls this in each worker before OpenRLHF is imported there.
        setup_hook="rlsp_hook.install",
        ship=SHIPPED,
        placement_groups=placed.placement_groups,
        nodes=cluster.nodes,
        gpus_per_node=cluster.gpus_per_node,
        # Ray places by the number of GPUs alone: a head without any claims one for each process.
        fake_gpus=0 if cluster.gpus_per_node else ceil(placed.gpus / cluster.nodes),
        address=cluster.ray_address,
        port=cluster.port,
        join_timeout_s=cluster.join_timeout_s,
        quiet_limit_s=ppo.openrlhf.quiet_limit_s,
        service=(sys.executable, "-P", "-m", "rlsp_cli.backends.openrlhf", "serve", job),
        secrets=_SECRETS,
        passed=_PASSED,
        wandb=logs_to_wandb,
        needs=NodeNeeds(
            model=start(recipe, paths),
            packages=(*_CLUSTER_PACKAGES, *(["wandb"] if logs_to_wandb else [])),
            versions={"openrlhf": environment.version},
        ),
    )


def _entrypoint(recipe: Recipe, python: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """OpenRLHF's command, with the variables that only its driver may have."""
    own = [f"{name}={value}" for name, value in recipe.cluster.env.items() if name in _DRIVERS_OWN]
    env = ("env", *own) if own else ()
    return (*env, *python, "-m", "openrlhf.cli.train_ppo_ray", *options)


def _variables(recipe: Recipe, ppo: Ppo, paths: RunPaths) -> dict[str, str]:
    """Variables of the job's driver and workers; those of the recipe come last, and win."""
    cluster = recipe.cluster
    env = {**_QUIET, **({} if cluster.gpus_per_node else _ON_CPU)}
    if ppo.advantages == "separate":
        env["RLSP_ADVANTAGES"] = "separate"
    env |= _wandb(recipe, paths)

    for name, value in cluster.env.items():
        if name not in _DRIVERS_OWN:
            env[name] = value
    return env


def _wandb(recipe: Recipe, paths: RunPaths) -> dict[str, str]:
    """One run id for all attempts, so that a resumed training goes on in the same run there."""
    if "wandb" not in recipe.tracking.to:
        return {}

    # Ids are unique in a project for ever, so the folder is in it: names of runs come again.
    place = hashlib.sha256(str(paths.root.absolute()).encode()).hexdigest()[:8]
    run_id = re.sub(r"[^\w.-]", "-", f"{recipe.name}-{paths.root.name}-{place}")
    return {"WANDB_RUN_ID": run_id[-_WANDB_ID_LENGTH:], "WANDB_RESUME": "allow"}


def _in_container(recipe: Recipe, environment: Environment | None) -> bool:
    """A container's command starts one process; Ray's nodes and its job are many."""
    named = recipe.backends.get("openrlhf")
    return bool((named and named.container) or (environment and environment.in_container))
