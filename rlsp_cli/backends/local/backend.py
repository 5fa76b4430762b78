"""The embedded engine as a backend: one child process on this machine, CPU or one GPU."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args
from zipfile import is_zipfile

from rlsp_cli.backends.backend import Backend
from rlsp_cli.backends.environment import LOCAL, Environment
from rlsp_cli.backends.group_rewards import single_response_groups
from rlsp_cli.backends.job import RESTORED, Job, Resources
from rlsp_cli.backends.need import Need, missing
from rlsp_cli.backends.probe import Probe
from rlsp_cli.backends.sbatch import BATCH, batch_script
from rlsp_cli.backends.settings import Setting, unused
from rlsp_cli.backends.vllm import LARGEST_RANK
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.tracking import Tracking
from rlsp_cli.rewards.sandbox import sandbox_words
from rlsp_cli.runs.checkpoints import newest_whole
from rlsp_cli.runs.paths import RunPaths, StagePaths

_QUIET = {"TOKENIZERS_PARALLELISM": "true", "OMP_WAIT_POLICY": "PASSIVE"}
"""Tokenizers use all cores. Threads that spin while they wait would starve a busy machine."""
_TRACKERS = [
    Need(
        "tracking.to",
        name.__eq__,
        (name,),
        f"pip install {name} into rlsp's environment, or leave it out",
    )
    for name in get_args(get_args(Tracking.model_fields["to"].annotation)[0])
]
"""The package of each tracker has its name."""


class LocalBackend(Backend):
    """The embedded engine: one child process on this machine, CPU or one GPU."""

    name = "local"
    stages = ("sft", "ppo", "eval")
    tested = (LOCAL.version,)

    def check(
        self, recipe: Recipe, stage: str, environment: Environment | None = None
    ) -> Iterator[Issue]:
        """Keys that this backend cannot honour."""
        if stage == "eval":
            yield from _eval_issues(recipe)
        else:
            yield from _cluster_issues(recipe)
            yield from _adapter_issues(recipe, stage)
        if recipe.ppo is not None and stage == "ppo":
            yield from single_response_groups(recipe, recipe.ppo)
            yield from _batch_issues(recipe.ppo)
            yield from _sampler_issues(recipe, recipe.ppo)
            yield from _teacher_issues(recipe, recipe.ppo)

        if all(getattr(part, "backend", "local") == "local" for part in (recipe.sft, recipe.ppo)):
            yield from unused(recipe, ("model.attention",), [], "the embedded engine")
        if recipe.sft is None and recipe.ppo is None:
            yield from unused(recipe, ("tracking",), [], "evaluation")

    def missing_packages(
        self, recipe: Recipe, stage: str, environment: Environment
    ) -> Sequence[Issue]:
        """The trackers of a stage that trains."""
        if stage == "eval":
            return []
        settings = [Setting("tracking.to", name, ("tracking.to",)) for name in recipe.tracking.to]
        return missing(environment, settings, _TRACKERS)

    def compile_job(
        self,
        recipe: Recipe,
        stage: str,
        paths: RunPaths,
        environment: Environment,
        resume: Path | None = None,
    ) -> Job:
        """The child process `python -m rlsp_cli.backends.local <stage>/job.json`; -P: no file here shadows a library.

        The engine looks for the newest checkpoint, which is `resume`, by itself.
        """
        served = stage == "eval" and recipe.eval is not None and recipe.eval.serve
        return engine_job(
            recipe,
            stage,
            "rlsp_cli.backends.local",
            paths.stage(stage),
            environment,
            {"run": str(paths.root), **_models(recipe, stage, paths)},
            all_gpus=served,
            resumes=f"going on from {resume.name}: {RESTORED}" if resume else None,
        )

    def newest_checkpoint(self, paths: StagePaths) -> Path | None:
        """The newest as far as can be told without torch: the engine passes over broken ones."""
        return newest_whole(
            paths.checkpoints, "step-", lambda folder: is_zipfile(folder / "trainer.pt")
        )

    def probe(self, environment: Environment) -> Probe:
        """What rlsp's own environment is, and how programs are shut in here."""
        import torch

        gpus = tuple(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
        return Probe({self.name: environment.version}, gpus, facts=(f"sandbox: {sandbox_words()}",))

    def rendered(self, recipe: Recipe, paths: RunPaths) -> None:
        """Nothing: the engine reads the recipe itself."""
        return


def engine_job(
    recipe: Recipe,
    stage: str,
    module: str,
    paths: StagePaths,
    environment: Environment,
    inputs: Mapping[str, Any],
    *,
    all_gpus: bool = False,
    resumes: str | None = None,
) -> Job:
    """The job of one process of the engine, `python -m MODULE PATHS/job.json`, here or on Slurm."""
    argv = (*environment.command, "-P", "-m", module, str(paths.job))
    env = process_env(recipe)
    gpus = recipe.cluster.gpus_per_node
    one = recipe.cluster.model_copy(
        update={"nodes": 1, "gpus_per_node": gpus if all_gpus else min(gpus, 1)}
    )
    on_slurm = one.launcher == "slurm"
    script = batch_script(one, f"{recipe.name}-{stage}", argv, env) if on_slurm else None
    return Job(
        stage=stage,
        backend=LocalBackend.name,
        argv=argv,
        env=env,
        batch=BATCH if on_slurm else None,
        files={BATCH: script} if script is not None else {},
        resources=Resources(gpus_per_node=one.gpus_per_node),
        resumes=resumes,
        inputs=inputs,
    )


def process_env(recipe: Recipe) -> dict[str, str]:
    """What a process of the engine has in its environment beside ours."""
    return {**_QUIET, **recipe.cluster.env}


def _cluster_issues(recipe: Recipe) -> Iterator[Issue]:
    """What one process cannot do."""
    cluster = recipe.cluster
    if cluster.nodes > 1 or cluster.gpus_per_node > 1:
        yield Issue(
            "cluster",
            "the local backend runs on one CPU or one GPU",
            "set nodes: 1, gpus_per_node: 0 or 1",
        )
    if cluster.launcher not in ("local", "slurm"):
        message = f"{cluster.launcher} starts several processes, and the local backend is one"
        yield Issue("cluster.launcher", message, "set it to local or slurm")


def _adapter_issues(recipe: Recipe, stage: str) -> Iterator[Issue]:
    settings = recipe.sft if stage == "sft" else recipe.ppo
    if settings is not None and settings.lora is not None and settings.lora.bits is not None:
        message = "the embedded engine keeps frozen weights in bfloat16 or float32"
        yield Issue(f"{stage}.lora.bits", message, "leave it out, or train with axolotl")


def _eval_issues(recipe: Recipe) -> Iterator[Issue]:
    if recipe.eval and recipe.eval.url and (recipe.sft or recipe.ppo or not recipe.model.path):
        message = "a server answers, and not the models that this recipe trains"
        yield Issue("eval.url", message, "evaluate it alone: rlsp eval NAME --url URL --bench ...")


def _batch_issues(ppo: Ppo) -> Iterator[Issue]:
    """A rollout is whole optimiser steps."""
    size = ppo.responses
    if size % ppo.train_batch:
        message = f"train_batch {ppo.train_batch} does not divide the {size} responses of a rollout"
        yield Issue(
            "ppo.train_batch",
            message,
            f"the nearest that does is {_divisor(size, ppo.train_batch)}",
        )


def _models(recipe: Recipe, stage: str, paths: RunPaths) -> dict[str, Any]:
    """The policy that a training stage starts from (None: a new one), or all the models that eval compares."""
    is_start = recipe.sft is not None or recipe.ppo is not None
    path = recipe.model.path
    base = {"base" if is_start else _name(path): path} if path else {}
    trained = {
        name: str(paths.stage(name).final) for name in ("sft", "ppo") if getattr(recipe, name)
    }
    if recipe.eval and recipe.eval.checkpoints and stage == "eval":
        return {
            "models": {
                f"step-{step}": folder for step, folder in sorted(recipe.eval.checkpoints.items())
            }
        }
    if stage == "eval":
        return {"models": {**base, **trained}}
    return {"model": trained["sft"] if stage == "ppo" and recipe.sft else path}


def _name(path: str) -> str:
    """What a model is called in results: after the stage of a run that trained it, else `base`."""
    *_, stage, folder, name = ("", "", *Path(path).parts)
    if folder != "checkpoints" or stage not in LocalBackend.stages:
        return "base"
    return stage if name == "final" else f"{stage}-{name.removeprefix('model-').lstrip('0')}"


def _sampler_issues(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    """What vLLM does not take, and what only samples of vLLM have a use for."""
    samples_as_trained = ppo.sampler == "embedded" and ppo.hints is None
    if samples_as_trained and ppo.correction != "none":
        message = "the embedded engine samples with the probabilities that it trains"
        yield Issue("ppo.rollout_correction", message, "leave it out, or set ppo.sampler: vllm")
    if ppo.sampler == "vllm" and recipe.continuation is not None:
        message = "a continuation answers the embedded engine, and vLLM samples here"
        yield Issue("ppo.sampler", message, "leave it out, or continuation")
    if ppo.sampler == "vllm" and ppo.self_play is not None:
        message = "games are played in the embedded engine, and vLLM samples here"
        yield Issue("ppo.sampler", message, "leave it out, or ppo.self_play")
    if ppo.self_play is not None and recipe.reward.is_dense:
        message = "rewards at the ends of steps are for responses that nobody else answers"
        yield Issue("reward.exploration", message, "leave out steps.dense, or ppo.self_play")
    if ppo.sampler == "vllm" and ppo.lora is not None and ppo.lora.rank > LARGEST_RANK:
        message = f"vLLM takes adapters of rank {LARGEST_RANK} at most, found {ppo.lora.rank}"
        yield Issue("ppo.lora.rank", message, "lower it, or leave out ppo.sampler")


def _teacher_issues(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    """A teacher is asked for the probabilities of tokens, which servers do not give alike."""
    teacher = ppo.teacher and recipe.models.get(ppo.teacher.model)
    if ppo.teacher and teacher and teacher.path is None:
        message = f"the trainer loads a teacher itself, and models.{ppo.teacher.model} is a server"
        yield Issue("ppo.teacher.model", message, "give that model a path")


def _divisor(size: int, wanted: int) -> int:
    return min((d for d in range(1, size + 1) if size % d == 0), key=lambda d: (abs(d - wanted), d))
