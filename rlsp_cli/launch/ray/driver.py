"""The driver of a job on Ray: cluster, room, service, submission. It ends all that it starts."""

import os
import secrets
import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlsp_cli.backends.job import read_inputs
from rlsp_cli.backends.job_step import say_note
from rlsp_cli.backends.ray_job import RayJob
from rlsp_cli.child.guard import guarded
from rlsp_cli.launch.ray.address import our_address
from rlsp_cli.launch.ray.capacity import refuse_small, wait_for_room
from rlsp_cli.launch.ray.cluster import RayCluster, cluster_of
from rlsp_cli.launch.ray.node_check import check_nodes
from rlsp_cli.launch.ray.package import pack
from rlsp_cli.launch.ray.service import RewardService, reward_service
from rlsp_cli.launch.ray.submission import Submission
from rlsp_cli.launch.ray.wandb import wandb_login
from rlsp_cli.launch.signals import stopping_on_signals
from rlsp_cli.runs.failure import VARIABLE, report_file

_STOPPED = "stopped before its end, without a checkpoint"
_TOKEN_BYTES = 24
"""Of the reward service's token."""


def drive(path: Path) -> None:
    """Run the job of a job.json to its end; any RlspError says why it ended otherwise."""
    job, folder = RayJob.from_json(read_inputs(path)[1]["ray"]), path.absolute().parent
    report = report_file()
    logs = report.parent if report else folder

    token = secrets.token_urlsafe(_TOKEN_BYTES)
    given = _given(job)
    hidden = [token, *(given[name] for name in job.secrets if name in given)]

    with stopping_on_signals(_STOPPED), cluster_of(job, folder, logs, say_note) as cluster:
        hidden += [cluster.token] if cluster.token else []

        # A cluster that is too small, or lacks a package, will not become better by waiting: both
        # are checked before the wait for busy GPUs.
        refuse_small(job, cluster.dashboard)
        check_nodes(job, cluster, folder, given, say_note)
        wait_for_room(job, cluster.dashboard, say_note)

        host = our_address(node.ip for node in cluster.dashboard.nodes() if node.alive)
        with reward_service(
            job.service, host, token, logs, job.join_timeout_s, say_note
        ) as service:
            reporting = {VARIABLE: str(report)} if report else {}
            environment = {**given, **_rewards(service, token), **reporting}

            with _submitted(job, cluster, folder, logs, environment, hidden) as submission:
                submission.to_the_end(service, job.quiet_limit_s)


@contextmanager
def _submitted(
    job: RayJob,
    cluster: RayCluster,
    folder: Path,
    logs: Path,
    environment: Mapping[str, str],
    hidden: list[str],
) -> Iterator[Submission]:
    """The job, submitted under a name of its own, and stopped if it outlives the block, or us."""
    # A runtime environment is Ray's way to give a job variables and files on every node.
    runtime: dict[str, Any] = {"env_vars": environment}
    if job.ship:
        runtime["working_dir"] = cluster.dashboard.upload(*pack(folder, job.ship))
    if job.setup_hook:
        runtime["worker_process_setup_hook"] = job.setup_hook

    name = f"rlsp-{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
    submission = Submission(cluster, name, folder, logs, _concealing(hidden), say_note)

    # Guarded before it is submitted, so that there is no moment in which a job could be left alone.
    with guarded("stop", cluster.dashboard.stop_url(name), headers=cluster.dashboard.headers):
        try:
            cluster.dashboard.submit(name, shlex.join(job.entrypoint), runtime)
            say_note(f"submitted to Ray as {name}")
            yield submission
        finally:
            submission.stop()


def _rewards(service: RewardService | None, token: str) -> dict[str, str]:
    """Variables with the place that the job's rewards come from."""
    return {"RLSP_REWARD_URL": service.url, "RLSP_REWARD_TOKEN": token} if service else {}


def _given(job: RayJob) -> dict[str, str]:
    """Variables of the job: passed on from here, the recipe's, and secrets that are set here."""
    passed = {name: os.environ[name] for name in job.passed if os.environ.get(name)}
    hidden = {name: os.environ[name] for name in job.secrets if os.environ.get(name)}
    login = wandb_login({**os.environ, **job.env}) if job.wandb else {}

    # The recipe wins over what happens to be set here. It holds no secrets, so those come last.
    return {**passed, **job.env, **login, **hidden}


def _concealing(hidden: list[str]) -> Callable[[str], str]:
    def conceal(text: str) -> str:
        for value in hidden:
            text = text.replace(value, "***")
        return text

    return conceal
