"""OpenRLHF as a backend of PPO: the recipe becomes a command for its Ray cluster, with our rewards in it."""

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
from rlsp_cli.backends.openrlhf.files import SHIPPED, STOP_FILE, StageFiles
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
from rlsp_cli.backends.settings import Setting, unused, with_extra
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Ppo, Recipe
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.share import share

SCOPE = ("model", "data.prompts", "data.system", "data.template", "ppo", "cluster", "tracking")
"""Parts of a recipe that this backend must honour or refuse."""
_ELSEWHERE = (
    *(
        "ppo.backend",
        "ppo.openrlhf.extra",
        "ppo.openrlhf.quiet_limit_s",
        "ppo.max_prompt_tokens",
        "ppo.whiten_advantages",
    ),
    *(
        "ppo.advantages",
        "ppo.export_every",
        "model.chat_template",
        "tracking.project",
        "cluster.launcher",
    ),
    *(
        "cluster.port",
        "cluster.join_timeout_s",
        "cluster.ray_address",
        "cluster.env",
        "cluster.slurm",
    ),
)
"""Keys that decide the job around the command, or that have a meaning only beside another key."""
_SOMEWHERE = RunPaths(Path("run"))
_SECRETS = ("WANDB_API_KEY", "HF_TOKEN")
_PASSED = (
    *(
        "HF_ENDPOINT",
        "HF_HUB_OFFLINE",
        "WANDB_BASE_URL",
        "WANDB_ENTITY",
        "WANDB_MODE",
        "WANDB_NOTES",
    ),
    *("WANDB_RUN_GROUP", "WANDB_TAGS"),
)
"""Variables without a secret that say the same on every machine, and so are passed on like the secrets."""
_HANDED_ON = ("TOKENIZERS_PARALLELISM", "NCCL_DEBUG", "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS")
"""OpenRLHF's driver takes these from its environment and gives them to its workers; Ray takes no variable twice."""
_LONGEST_ID = 64
"""Letters of a run's name there."""
_PACKAGES = ("openrlhf", "ray", "torch", "vllm", "deepspeed", "transformers")
"""What must be the same in the interpreters of all nodes."""
_QUIET = {"DO_NOT_TRACK": "1", "RAY_DEDUP_LOGS": "0"}
_ON_CPU = {
    "RLSP_OPENRLHF_CPU": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "DS_BUILD_OPS": "0",
    "HF_HUB_OFFLINE": "1",
}
"""What the CPU profile's environment needs to run without GPUs."""


class OpenRlhfBackend(Backend):
    """OpenRLHF's training on Ray, started and followed by our driver, between a setup and a finish of ours."""

    name = "openrlhf"
    stages = ("ppo",)
    tested = TESTED

    def check(
        self, recipe: Recipe, stage: str, environment: Environment | None = None
    ) -> Iterator[Issue]:
        """What OpenRLHF cannot do; where its environment is given, in the words of its parser."""
        ppo = _section(recipe)
        if _in_container(recipe, environment):
            message = "OpenRLHF runs in Ray's processes, and rlsp does not start Ray in a container"
            hint = (
                "start rlsp inside the container, or give python: an interpreter that has openrlhf"
            )
            yield Issue("backends.openrlhf.container", message, hint)
            return

        own = settings(recipe, ppo, _SOMEWHERE)
        yield from placement_problems(ppo, recipe.cluster)
        yield from batch_problems(recipe, ppo)
        yield from conflicts(recipe, ppo)
        yield from extra_problems(ppo.openrlhf.extra)

        used = [source for setting in own for source in setting.sources]
        yield from unused(recipe, SCOPE, [*used, *_ELSEWHERE], "OpenRLHF")
        if environment is not None:
            yield from _refused_command(environment, self.rendered(recipe, _SOMEWHERE))

    def missing_packages(
        self, recipe: Recipe, stage: str, environment: Environment
    ) -> Sequence[Issue]:
        """Packages that the options need and the environment does not have.

        UsageError or NotReadyError for a RAY_ADDRESS, token or header with which no cluster can be
            asked: the job
        itself would find out after the stages before it. Slurm's script starts a cluster of its
        own.
        """
        address = recipe.cluster.ray_address or os.environ.get("RAY_ADDRESS")
        if address and recipe.cluster.launcher != "slurm":
            read_ray_address(
                address, "cluster.ray_address" if recipe.cluster.ray_address else "RAY_ADDRESS"
            )
        return missing(environment, self.rendered(recipe, _SOMEWHERE), NEEDS)

    def compile_job(
        self,
        recipe: Recipe,
        stage: str,
        paths: RunPaths,
        environment: Environment,
        resume: Path | None = None,
    ) -> Job:
        """The job: our driver's command, what the cluster runs, and the files that it ships to every machine."""
        files, cluster = StageFiles(paths.stage(stage)), recipe.cluster
        ours, job = (sys.executable, "-P", "-m"), str(files.stage.job)
        module = (*ours, "rlsp_cli.backends.openrlhf")
        texts = {
            name: (share("templates") / "openrlhf" / name).read_text(encoding="utf-8")
            for name in SHIPPED
        }
        if cluster.launcher == "slurm":
            texts[BATCH] = _batch_script(recipe, stage, files, environment.python(paths.root))

        return Job(
            stage=stage,
            backend=self.name,
            argv=(*ours, "rlsp_cli.launch.ray", job),
            setup=((*module, "setup", job),),
            finish=((*module, "finish", job),),
            batch=BATCH if cluster.launcher == "slurm" else None,
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
                "ray": _ray_job(recipe, _section(recipe), paths, environment, resume).to_json(),
            },
        )

    def newest_checkpoint(self, paths: StagePaths) -> Path | None:
        """The newest `_actor/global_stepN` that is whole."""
        return newest_checkpoint(StageFiles(paths))

    def probe(self, environment: Environment) -> Probe:
        """What the environment has; its problem is where our hook would not fit."""
        found = misfit(environment)
        return replace(run_probe(environment), problems=(found,) if found else ())

    def finish_install(self, profile: str, packages: Path) -> None:
        """What OpenRLHF without a GPU needs beside its packages."""
        if profile == "cpu":
            prepare_cpu(packages)

    def rendered(self, recipe: Recipe, paths: RunPaths) -> list[Setting]:
        """The command's options as settings that know where they come from."""
        return _rendered(recipe, paths)


def _section(recipe: Recipe) -> Ppo:
    assert recipe.ppo, "a stage of OpenRLHF's is ppo"
    return recipe.ppo


def _rendered(recipe: Recipe, paths: RunPaths, resume: Path | None = None) -> list[Setting]:
    ppo = _section(recipe)
    return with_extra(
        settings(recipe, ppo, paths, resume), ppo.openrlhf.extra, "ppo.openrlhf.extra"
    )


def _refused_command(environment: Environment, options: Sequence[Setting]) -> Iterator[Issue]:
    """What the installed parser has against the command."""
    error = parser_error(environment, words(options))
    if error is not None:
        tested = environment.version in TESTED
        hint = (
            "change the keys that it names"
            if tested
            else f"install {TESTED[-1]}, which rlsp is tested with"
        )
        yield Issue("ppo", f"OpenRLHF {environment.version} refuses its command: {error}", hint)


def _batch_script(recipe: Recipe, stage: str, files: StageFiles, python: Sequence[str]) -> str:
    title, stop = f"{recipe.name}-{stage}", files.stage.root / STOP_FILE
    cluster = recipe.cluster
    return ray_batch_script(
        cluster, title, python, sys.executable, files.stage.job, stop, cluster.env
    )


def _ray_job(
    recipe: Recipe, ppo: Ppo, paths: RunPaths, environment: Environment, resume: Path | None
) -> RayJob:
    """What `launch.ray` submits."""
    job, cluster, found = str(paths.stage("ppo").job), recipe.cluster, roles(ppo, recipe.cluster)
    python = environment.python(paths.root)
    handed = [f"{name}={value}" for name, value in cluster.env.items() if name in _HANDED_ON]
    options = words(_rendered(recipe, paths, resume))
    logs_to_wandb = "wandb" in recipe.tracking.to
    return RayJob(
        python=python,
        entrypoint=(
            *(["env", *handed] if handed else []),
            *python,
            "-m",
            "openrlhf.cli.train_ppo_ray",
            *options,
        ),
        env=_variables(recipe, ppo, paths),
        setup_hook="rlsp_hook.install",
        ship=SHIPPED,
        asked=found.asked,
        nodes=cluster.nodes,
        gpus_per_node=cluster.gpus_per_node,
        fake_gpus=0 if cluster.gpus_per_node else ceil(found.gpus / cluster.nodes),
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
            packages=(*_PACKAGES, *(["wandb"] if logs_to_wandb else [])),
            versions={"openrlhf": environment.version},
        ),
    )


def _variables(recipe: Recipe, ppo: Ppo, paths: RunPaths) -> dict[str, str]:
    """Variables of the job's driver and workers."""
    cluster = recipe.cluster
    return {
        **_QUIET,
        **({} if cluster.gpus_per_node else _ON_CPU),
        **({"RLSP_ADVANTAGES": "separate"} if ppo.advantages == "separate" else {}),
        **_wandb(recipe, paths),
        **{name: value for name, value in cluster.env.items() if name not in _HANDED_ON},
    }


def _wandb(recipe: Recipe, paths: RunPaths) -> dict[str, str]:
    """A run there of the same name for every attempt, so that a resumed training goes on in it."""
    if "wandb" not in recipe.tracking.to:
        return {}
    place = hashlib.sha256(str(paths.root.absolute()).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]", "-", f"{recipe.name}-{paths.root.name}-{place}")
    return {"WANDB_RUN_ID": name[-_LONGEST_ID:], "WANDB_RESUME": "allow"}


def _in_container(recipe: Recipe, environment: Environment | None) -> bool:
    """The words before an interpreter in a container start one process; Ray's nodes and its job are many."""
    named = recipe.backends.get("openrlhf")
    return bool((named and named.container) or (environment and environment.in_container))
