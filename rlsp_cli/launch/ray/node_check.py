"""A check of every node before the job: does it have the packages, the run folder and the model?

Without it a missing one shows when GPUs are placed and models loaded, or after the whole training.
"""

import json
import secrets
import shlex
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from rlsp_cli.backends.ray_job import NodeNeeds, RayJob
from rlsp_cli.child.cause import last_error
from rlsp_cli.child.guard import guarded
from rlsp_cli.errors import JobError, NotReadyError
from rlsp_cli.launch.ray.cluster import RayCluster
from rlsp_cli.launch.ray.dashboard import Dashboard, JobInfo
from rlsp_cli.launch.ray.package import pack
from rlsp_cli.share import share

_SCRIPT = "nodes.py"
_POLL_S = 0.5
_NONCE_BYTES = 16

Answer = tuple[str, list[str]]
"""A node's address, and what it lacks."""


def check_nodes(
    job: RayJob,
    cluster: RayCluster,
    folder: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Return when every node can do its part; else NotReadyError, with a line for each that cannot.

    A cluster of one machine that we have started ourselves is not asked: it is this machine.
    """
    if job.needs is None or (cluster.head is not None and job.nodes == 1):
        return

    # A path alone proves nothing: another machine may have a folder of the same name. It sees this
    # one when it reads what has just been written there.
    nonce = folder / f".nonce-{secrets.token_hex(_NONCE_BYTES)}"
    nonce.write_text(secrets.token_hex(_NONCE_BYTES), encoding="utf-8")
    try:
        found = _ask(job, job.needs, cluster.dashboard, nonce, environment)
    finally:
        nonce.unlink(missing_ok=True)

    lines = [f"  {ip}: {'; '.join(lacks)}" for ip, lacks in found if lacks]
    if lines:
        count = (
            f"{len(lines)} of {len(found)} nodes of the cluster lack something that the job needs"
        )
        raise NotReadyError("\n".join([count, *lines]))

    say(f"all {len(found)} nodes have the packages, the run folder and the model")


def answers(log: str) -> list[Answer]:
    """The answers in the log of the script: its one line, found among the warnings of libraries."""
    for line in reversed(log.splitlines()):
        if line.startswith("[["):
            found: list[Answer] = json.loads(line)
            return found
    raise NotReadyError(f"the cluster's nodes could not be asked: no answer in {last_error(log)!r}")


def _ask(
    job: RayJob, needs: NodeNeeds, dashboard: Dashboard, nonce: Path, environment: Mapping[str, str]
) -> list[Answer]:
    """Answers of all live nodes."""
    questions = json.dumps(
        {
            "packages": needs.packages,
            "versions": dict(needs.versions),
            "folder": str(nonce.parent),
            "nonce": [nonce.name, nonce.read_text(encoding="utf-8")],
            "model": needs.model,
            "model_is_folder": Path(needs.model).is_dir() or Path(needs.model).is_absolute(),
        }
    )
    runtime = {
        "env_vars": environment,
        "working_dir": dashboard.upload(*pack(share("templates") / "ray", [_SCRIPT])),
    }

    # A job like any other, since only the cluster can start something on all of its nodes.
    submission = f"rlsp-nodes-{uuid.uuid4().hex[:8]}"
    with guarded("stop", dashboard.stop_url(submission), headers=dashboard.headers):
        try:
            dashboard.submit(submission, shlex.join([*job.python, _SCRIPT, questions]), runtime)
            info, log = _await_end(dashboard, submission, job.join_timeout_s)
        except BaseException:  # a signal too must not leave it on the cluster
            _stop(dashboard, submission)
            raise

    if info.status != "SUCCEEDED":
        raise NotReadyError(
            f"the cluster's nodes could not be asked: {_reason(job, log or info.message)}"
        )
    return answers(log)


def _await_end(dashboard: Dashboard, submission: str, timeout_s: float) -> tuple[JobInfo, str]:
    """How a job has ended, and its log; NotReadyError when it has not ended in time."""
    deadline = time.monotonic() + timeout_s
    while not (info := dashboard.job(submission)).is_over:
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"the cluster did not answer within {timeout_s:.0f} s whether its nodes are ready"
            )
        time.sleep(_POLL_S)

    return info, dashboard.logs(submission)


def _reason(job: RayJob, log: str) -> str:
    python = job.python[0]

    # What a shell says of a missing command, and what Python says of it.
    if f"{python}: not found" in log or f"{python}: No such file" in log:
        return (
            f"there is no {python} where Ray runs a job's driver; "
            "every node needs the environment at this path"
        )
    return last_error(log)


def _stop(dashboard: Dashboard, submission: str) -> None:
    try:
        dashboard.stop(submission)
    except (JobError, NotReadyError):
        return  # the error that led here says more
