"""OpenRLHF as a backend of PPO: the recipe becomes a command for its Ray cluster, with our rewards in it."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.job import Job, Resources
from rlsp_cli.backends.need import missing
from rlsp_cli.backends.openrlhf import checkpoint
from rlsp_cli.backends.openrlhf.batch import batch_problems
from rlsp_cli.backends.openrlhf.config import settings, start
from rlsp_cli.backends.openrlhf.conflicts import conflicts
from rlsp_cli.backends.openrlhf.files import SHIPPED, STOP_FILE, StageFiles
from rlsp_cli.backends.openrlhf.flags import TESTED, parser_error, words
from rlsp_cli.backends.openrlhf.needs import NEEDS
from rlsp_cli.backends.openrlhf.options import extra_problems
from rlsp_cli.backends.openrlhf.placement import placement_problems, roles
from rlsp_cli.backends.openrlhf.seams import misfit
from rlsp_cli.backends.probe import probe as asked
from rlsp_cli.backends.ray_door import door_to
from rlsp_cli.backends.ray_job import NodeNeeds, RayJob
from rlsp_cli.backends.ray_sbatch import ray_batch_script
from rlsp_cli.backends.sbatch import BATCH
from rlsp_cli.backends.setting import Setting, unused, with_extra
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.share import share

__all__ = ["STAGES", "TESTED", "check", "compile", "lacking", "newest_checkpoint", "probe", "rendered"]

STAGES = ("ppo",)
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
    *("ppo.advantages", "ppo.export_every", "model.chat_template", "tracking.project", "cluster.launcher"),
    *("cluster.port", "cluster.join_timeout_s", "cluster.ray_address", "cluster.env", "cluster.slurm"),
)
"""Keys that decide the job around the command, or that have a meaning only beside another key."""
_SOMEWHERE = RunPaths(Path("run"))
_SECRETS = ("WANDB_API_KEY", "HF_TOKEN")
_PASSED = (
    *("HF_ENDPOINT", "HF_HUB_OFFLINE", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_MODE", "WANDB_NOTES"),
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


def probe(environment: Environment) -> dict[str, Any]:
    """What the environment tells of itself, and `problems`: where our hook would not fit."""
    found = misfit(environment)
    return {**asked(environment), "problems": [found] if found else []}


def newest_checkpoint(paths: StagePaths) -> Path | None:
    """The checkpoint to go on from."""
    return checkpoint.newest_checkpoint(StageFiles(paths))


def check(recipe: Recipe, stage: str, environment: Environment | None = None) -> Iterator[Issue]:
    """What OpenRLHF cannot do, before anything starts; where its environment is given, in the words of its parser."""
    assert recipe.ppo, "checked by the recipe"
    if _in_container(recipe, environment):
        message = "OpenRLHF runs in Ray's processes, and rlsp does not start Ray in a container"
        hint = "start rlsp inside the container, or give python: an interpreter that has openrlhf"
        yield Issue("backends.openrlhf.container", message, hint)
        return
    own = settings(recipe, _SOMEWHERE)
    yield from placement_problems(recipe)
    yield from batch_problems(recipe)
    yield from conflicts(recipe)
    yield from extra_problems(recipe.ppo.openrlhf.extra)
    used = [source for setting in own for source in setting.sources]
    yield from unused(recipe, SCOPE, [*used, *_ELSEWHERE], "OpenRLHF")
    if environment is not None:
        error = parser_error(environment, words(rendered(recipe, _SOMEWHERE)))
        if error is not None:
            tested = environment.version in TESTED
            hint = "change the keys that it names" if tested else f"install {TESTED[-1]}, which rlsp is tested with"
            yield Issue("ppo", f"OpenRLHF {environment.version} refuses its command: {error}", hint)


def lacking(recipe: Recipe, stage: str, environment: Environment) -> list[Issue]:
    """Packages that the stage's options need and the environment does not have.

    UsageError or NotReadyError for a RAY_ADDRESS, token or header with which no cluster can be asked: the job itself
    would find out after the stages before it. Slurm's script starts a cluster of its own.
    """
    address = recipe.cluster.ray_address or os.environ.get("RAY_ADDRESS")
    if address and recipe.cluster.launcher != "slurm":
        door_to(address, "cluster.ray_address" if recipe.cluster.ray_address else "RAY_ADDRESS")
    return missing(environment, rendered(recipe, _SOMEWHERE), NEEDS)


def compile(recipe: Recipe, stage: str, paths: RunPaths, environment: Environment, resume: Path | None = None) -> Job:
    """OpenRLHF's training on Ray, started and followed by our driver, between a setup and a finish of ours."""
    assert recipe.ppo, "checked by the recipe"
    files, cluster = StageFiles(paths.stage(stage)), recipe.cluster
    handed = [f"{name}={value}" for name, value in cluster.env.items() if name in _HANDED_ON]
    variables = {name: value for name, value in cluster.env.items() if name not in _HANDED_ON}
    python, ours = environment.python(paths.root), (sys.executable, "-P", "-m")
    module, job = (*ours, "rlsp_cli.backends.openrlhf"), str(files.stage.job)
    options = words(rendered(recipe, paths, resume))
    separate = {"RLSP_ADVANTAGES": "separate"} if recipe.ppo.advantages == "separate" else {}
    ray = RayJob(
        python=python,
        entrypoint=(*(["env", *handed] if handed else []), *python, "-m", "openrlhf.cli.train_ppo_ray", *options),
        env={
            **_QUIET,
            **(_ON_CPU if not cluster.gpus_per_node else {}),
            **separate,
            **_wandb(recipe, paths),
            **variables,
        },
        setup_hook="rlsp_hook.install",
        ship=tuple(SHIPPED),
        asked=roles(recipe).asked,
        nodes=cluster.nodes,
        gpus_per_node=cluster.gpus_per_node,
        fake_gpus=0 if cluster.gpus_per_node else ceil(roles(recipe).gpus / cluster.nodes),
        address=cluster.ray_address,
        port=cluster.port,
        join_timeout_s=cluster.join_timeout_s,
        quiet_limit_s=recipe.ppo.openrlhf.quiet_limit_s,
        service=(*module, "serve", job),
        secrets=tuple(_SECRETS),
        passed=tuple(_PASSED),
        wandb="wandb" in recipe.tracking.to,
        needs=NodeNeeds(
            model=start(recipe, paths),
            packages=(*_PACKAGES, *(["wandb"] if "wandb" in recipe.tracking.to else [])),
            versions={"openrlhf": environment.version},
        ),
    )
    texts = {name: (share("templates") / "openrlhf" / name).read_text(encoding="utf-8") for name in SHIPPED}
    if cluster.launcher == "slurm":
        stop = files.stage.root / STOP_FILE
        title = f"{recipe.name}-{stage}"
        texts[BATCH] = ray_batch_script(cluster, title, python, sys.executable, files.stage.job, stop, cluster.env)
    return Job(
        stage=stage,
        backend="openrlhf",
        argv=(*ours, "rlsp_cli.launch.ray", job),
        setup=((*module, "setup", job),),
        finish=((*module, "finish", job),),
        batch=BATCH if cluster.launcher == "slurm" else None,
        stop_file=STOP_FILE,
        env=cluster.env,
        resumes=f"going on from {resume.name}: {checkpoint.RESTORED}" if resume else None,
        files=texts,
        resources=Resources(cluster.nodes, cluster.gpus_per_node),
        inputs={
            "run": str(paths.root),
            "model": start(recipe, paths),
            "version": environment.version,
            "resume": str(resume) if resume else None,
            "ray": ray.to_json(),
        },
    )


def rendered(recipe: Recipe, paths: RunPaths, resume: Path | None = None) -> list[Setting]:
    """The command's options as settings that know where they come from."""
    assert recipe.ppo, "checked by the recipe"
    return with_extra(settings(recipe, paths, resume), recipe.ppo.openrlhf.extra, "ppo.openrlhf.extra")


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
