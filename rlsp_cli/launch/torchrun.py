"""Further machines of a torchrun job: each runs the first machine's command, and meets it there."""

import socket
from pathlib import Path

from rlsp_cli.backends.job import Job
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.launch.attempt import new_attempt
from rlsp_cli.launch.command import run_command
from rlsp_cli.launch.observer import Observer
from rlsp_cli.recipe.cluster import Cluster
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.stream import read_json


def join(root: Path, stage: str, observer: Observer) -> None:
    """Run a stage's command here, with the run folder of the first machine, which both must see."""
    run = open_run(root)
    cluster, paths = run.recipe.cluster, run.paths.stage(stage)
    if not _has_several_machines(cluster):
        raise UsageError(f"{root}: torchrun runs this job on one machine; there is nothing to join")
    if not paths.job.exists():
        raise UsageError(f"{paths.job}: not there yet; start the run on {cluster.host} first")

    # The first machine has written the command and prepared the data; torchrun gives each machine
    # its rank when they meet, so the command is the same everywhere.
    data = read_json(paths.job)["data"]

    attempt = new_attempt(paths, data["env"], observer)
    observer.say(f"joining {cluster.host}:{cluster.port}; logs in {attempt.folder}")
    run_command(data["argv"], attempt, paths.root / data["stop_file"])


def call_for_workers(job: Job, cluster: Cluster, paths: StagePaths, observer: Observer) -> None:
    """Show what to run on the other machines; NotReadyError when the port to meet at is taken."""
    if not _has_several_machines(cluster) or job.backend == "local":
        return

    # torchrun would fail too, but its error cannot name the setting to change.
    with socket.socket() as probe:
        # As torchrun does: a port that an earlier run has left in TIME_WAIT counts as free.
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


def _has_several_machines(cluster: Cluster) -> bool:
    return cluster.launcher == "torchrun" and cluster.nodes > 1
