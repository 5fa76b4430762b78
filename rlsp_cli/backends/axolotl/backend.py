"""Axolotl as a backend of SFT: a configuration file, in an environment of its own."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlsp_cli.backends.axolotl.batch import batch_problem
from rlsp_cli.backends.axolotl.checkpoint import newest_checkpoint
from rlsp_cli.backends.axolotl.config import settings
from rlsp_cli.backends.axolotl.conflicts import conflicts
from rlsp_cli.backends.axolotl.deepspeed import deepspeed_config
from rlsp_cli.backends.axolotl.extra import refused
from rlsp_cli.backends.axolotl.files import AxolotlFiles
from rlsp_cli.backends.axolotl.keys import TESTED, Keys, asked_keys, known_keys, wrong_keys
from rlsp_cli.backends.axolotl.launcher import cluster_problem, launch_command
from rlsp_cli.backends.axolotl.needs import NEEDS
from rlsp_cli.backends.axolotl.process_reward import prm_conflicts
from rlsp_cli.backends.backend import Backend
from rlsp_cli.backends.context_length import overflow
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.job import RESTORED, Job, Resources
from rlsp_cli.backends.need import missing
from rlsp_cli.backends.probe import Probe, run_probe
from rlsp_cli.backends.sbatch import BATCH, batch_script
from rlsp_cli.backends.sections import sft_section
from rlsp_cli.backends.settings import Setting, settings_text, taken, unused, with_extra
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.share import share

SCOPE = (
    *("model", "data.traces", "data.steps", "data.pairs", "data.system", "data.template"),
    *("sft", "cluster", "tracking"),
)
"""Parts of a recipe that this backend must honour or refuse."""
_READ_ELSEWHERE = (
    *("sft.kind", "sft.backend", "sft.val_every", "sft.axolotl.extra"),
    *("model.path", "tracking.project"),
    *("cluster.launcher", "cluster.port", "cluster.join_timeout_s", "cluster.env"),
)
"""Keys that no setting names: they decide the command, or matter only beside another key."""
_READ_BY_LAUNCHER = {"torchrun": ("cluster.host",), "slurm": ("cluster.slurm",)}
_ANY_RUN = RunPaths(Path("run"))
"""Stands for a run folder where only keys and values matter, and not the paths in them."""
_QUIET = {"AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
_ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true", "OMP_WAIT_POLICY": "PASSIVE"}
"""The last one because threads that spin while they wait would starve a busy machine."""
_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray reads from this variable what it gives to a job's workers on all machines."""


class AxolotlBackend(Backend):
    """Axolotl's training, between a setup of its data and a finish that publishes the model."""

    name = "axolotl"
    stages = ("sft",)
    tested = TESTED

    def check(
        self, recipe: Recipe, stage: str, environment: Environment | None = None
    ) -> Iterator[Issue]:
        """What Axolotl cannot do; an untested version in the `environment` is asked for its keys."""
        sft = sft_section(recipe)
        hint = "lower it: longer examples are left out"
        yield from overflow(recipe.model, sft.max_length, "sft.max_length", "an example", hint)
        yield from filter(None, [batch_problem(recipe, sft), cluster_problem(recipe.cluster)])

        # The tested version's keys come with rlsp: to ask Axolotl takes half a minute of imports.
        version = environment.version if environment else TESTED[-1]
        keys = asked_keys(environment) if environment and version not in TESTED else known_keys()
        yield from _key_issues(recipe, sft, version, keys)
        yield from conflicts(recipe, sft, keys)
        if recipe.trains_prm:
            yield from prm_conflicts(recipe, sft)

    def missing_packages(
        self, recipe: Recipe, stage: str, environment: Environment
    ) -> Sequence[Issue]:
        """Packages that the options need and the environment does not have."""
        return missing(environment, self.rendered(recipe, _ANY_RUN), NEEDS)

    def compile_job(
        self,
        recipe: Recipe,
        stage: str,
        paths: RunPaths,
        environment: Environment,
        resume: Path | None = None,
    ) -> Job:
        """Axolotl's files and command, and the steps of rlsp before and after it."""
        files, cluster = AxolotlFiles(paths.stage(stage)), recipe.cluster
        python = environment.python(paths.root)
        step = (sys.executable, "-P", "-m", "rlsp_cli.backends.axolotl")
        job = str(files.stage.job)

        name = f"{recipe.name}-{paths.root.name}"
        program = (str(files.stage.root / "start.py"), str(files.config))
        argv = launch_command(cluster, python, program, name)
        env = _variables(recipe, files)
        texts = _texts(sft_section(recipe), files, _rendered(recipe, paths, resume))

        on_slurm = cluster.launcher == "slurm"
        if on_slurm:
            texts[BATCH] = batch_script(cluster, f"{recipe.name}-{stage}", argv, env)

        return Job(
            stage=stage,
            backend=self.name,
            argv=argv,
            batch=BATCH if on_slurm else None,
            setup=((*step, "setup", job),),
            finish=((*step, "finish", job),),
            stop_file="stop",
            resumes=f"going on from {resume.name}: {RESTORED}" if resume else None,
            env=env,
            files=texts,
            resources=Resources(cluster.nodes, cluster.gpus_per_node),
            inputs={
                "run": str(paths.root),
                "python": list(python),
                "version": environment.version,
                "resume": str(resume) if resume else None,
            },
        )

    def newest_checkpoint(self, paths: StagePaths) -> Path | None:
        """The newest whole `checkpoint-N` in Axolotl's output."""
        return newest_checkpoint(AxolotlFiles(paths).output)

    def probe(self, environment: Environment) -> Probe:
        """What the environment has, with the configuration keys of its Axolotl."""
        return run_probe(environment)

    def rendered(self, recipe: Recipe, paths: RunPaths) -> list[Setting]:
        """The configuration file, `sft.axolotl.extra` included."""
        return _rendered(recipe, paths)


def _rendered(recipe: Recipe, paths: RunPaths, resume: Path | None = None) -> list[Setting]:
    sft = sft_section(recipe)
    own = settings(recipe, sft, AxolotlFiles(paths.stage("sft")), resume)
    return with_extra(own, sft.axolotl.extra, "sft.axolotl.extra")


def _variables(recipe: Recipe, files: AxolotlFiles) -> dict[str, str]:
    """Variables of the training's processes on every machine."""
    cluster = recipe.cluster
    hidden = {} if cluster.gpus_per_node else _ON_CPU

    # The folder holds rlsp_follow.py, which Axolotl imports as a plugin by its module name.
    env = {**_QUIET, **hidden, **cluster.env, "PYTHONPATH": str(files.stage.root)}

    # Workers that Ray starts elsewhere do not inherit the environment of this process.
    if cluster.launcher == "ray" and cluster.env:
        env[_JOB_CONFIG] = json.dumps({"runtime_env": {"env_vars": cluster.env}})
    return env


def _texts(sft: Sft, files: AxolotlFiles, rendered: list[Setting]) -> dict[str, str]:
    """Configurations of Axolotl and DeepSpeed, and the program that starts it with our plugin."""
    texts = {files.config.name: settings_text(rendered)}
    for name in ("start.py", "rlsp_follow.py"):
        texts[name] = (share("templates") / "axolotl" / name).read_text(encoding="utf-8")

    if sft.axolotl.sharding.startswith("zero"):
        bf16 = any(setting.key == "bf16" and setting.value for setting in rendered)
        texts[files.deepspeed.name] = deepspeed_config(int(sft.axolotl.sharding[-1]), bf16)
    return texts


def _key_issues(recipe: Recipe, sft: Sft, version: str, keys: Keys) -> Iterator[Issue]:
    """Keys that Axolotl would drop or the user may not set, and recipe keys without effect."""
    own, extra = settings(recipe, sft, AxolotlFiles(_ANY_RUN.stage("sft"))), sft.axolotl.extra
    section = "sft.axolotl.extra"

    config = {setting.key: setting.value for setting in with_extra(own, extra, section)}
    for key, message in wrong_keys(config, keys):
        yield Issue(f"{section}.{key}", f"{message} (version {version})")
    yield from taken(own, extra, section)
    yield from refused(sft, own, keys)

    used = [*_READ_ELSEWHERE, *_READ_BY_LAUNCHER.get(recipe.cluster.launcher, ())]
    for setting in own:
        used += setting.sources
    yield from unused(recipe, SCOPE, used, "Axolotl")
