"""A further machine of a job that torchrun spreads: it runs the same command, and meets the first machine."""

import socket
from pathlib import Path

from rlsp_cli.backends.job import Job
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.launch.attempt import new_attempt
from rlsp_cli.launch.command import run_command
from rlsp_cli.launch.observer import Observer
from rlsp_cli.recipe.schema import Cluster
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.stream import read_json


def join(root: Path, stage: str, observer: Observer) -> None:
    """Run a stage's command here, with the run folder of the first machine, which both must see."""
    run = open_run(root)
    paths = run.paths.stage(stage)
    if run.recipe.cluster.launcher != "torchrun" or run.recipe.cluster.nodes == 1:
        raise UsageError(
            f"{root}: this run is not spread over machines by torchrun; nothing to join"
        )
    if not paths.job.exists():
        raise UsageError(
            f"{paths.job}: not there yet; start the run on {run.recipe.cluster.host} first"
        )
    data = read_json(paths.job)["data"]

    attempt = new_attempt(paths, data["env"], observer)
    observer.say(
        f"joining {run.recipe.cluster.host}:{run.recipe.cluster.port}; logs in {attempt.folder}"
    )
    run_command(data["argv"], attempt, paths.root / data["stop_file"])


def call_for_workers(job: Job, cluster: Cluster, paths: StagePaths, observer: Observer) -> None:
    """On the first machine: NotReadyError when the meeting port is taken; say what to run on the others."""
    if cluster.launcher != "torchrun" or cluster.nodes == 1 or job.backend == "local":
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", cluster.port))
        except OSError as error:
            raise NotReadyError(
                f"port {cluster.port} is taken here; set cluster.port to another"
            ) from error

    others = f"{cluster.nodes - 1} more of {cluster.nodes} machines"
    command = f"rlsp launch worker {paths.root.parent} --stage {job.stage}"
    observer.say(f"waiting {cluster.join_timeout_s} s for {others}; there: {command}")
