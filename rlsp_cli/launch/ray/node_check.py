"""Every node of a cluster, asked before the job: has it the packages, the run folder and the model?

Ray would find out when GPUs are placed and models loaded, or after the whole training.
"""

import json
import secrets
import shlex
import time
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


def check_nodes(
    job: RayJob,
    cluster: RayCluster,
    folder: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Return when every node can do its part; NotReadyError with a line for each that cannot, and what it lacks.

    A cluster of one machine that we have started ourselves is not asked: it is this machine.
    """
    if job.needs is None or (cluster.head is not None and job.nodes == 1):
        return
    nonce = folder / f".nonce-{secrets.token_hex(8)}"
    nonce.write_text(secrets.token_hex(16), encoding="utf-8")
    try:
        answers = _asked(job, job.needs, cluster.dashboard, nonce, environment)
    finally:
        nonce.unlink(missing_ok=True)
    lines = [f"  {ip}: {'; '.join(problems)}" for ip, problems in answers if problems]
    if lines:
        count = (
            f"{len(lines)} of {len(answers)} nodes of the cluster lack something that the job needs"
        )
        raise NotReadyError("\n".join([count, *lines]))
    say(f"all {len(answers)} nodes have the packages, the run folder and the model")


def _asked(
    job: RayJob, needs: NodeNeeds, dashboard: Dashboard, nonce: Path, environment: Mapping[str, str]
) -> list[tuple[str, list[str]]]:
    """(address, what it lacks) of each live node."""
    words = json.dumps(
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
    submission = f"rlsp-nodes-{secrets.token_hex(6)}"
    with guarded("stop", dashboard.stop_url(submission), headers=dashboard.headers):
        try:
            dashboard.submit(submission, shlex.join([*job.python, _SCRIPT, words]), runtime)
            info, log = _ended(dashboard, submission, job.join_timeout_s)
        except BaseException:
            _stop(dashboard, submission)
            raise
    if info.status != "SUCCEEDED":
        raise NotReadyError(
            f"the cluster's nodes could not be asked: {_reason(job, log or info.message)}"
        )
    return answers(log)


def answers(log: str) -> list[tuple[str, list[str]]]:
    """The script's line among those of libraries, which may warn as they end."""
    for line in reversed(log.splitlines()):
        if line.startswith("[["):
            found: list[tuple[str, list[str]]] = json.loads(line)
            return found
    raise NotReadyError(f"the cluster's nodes could not be asked: no answer in {last_error(log)!r}")


def _ended(dashboard: Dashboard, submission: str, timeout_s: float) -> tuple[JobInfo, str]:
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
    if f"{python}: not found" in log or f"{python}: No such file" in log:
        return f"there is no {python} where Ray runs a job's driver; every node needs the environment at this path"
    return last_error(log)


def _stop(dashboard: Dashboard, submission: str) -> None:
    try:
        dashboard.stop(submission)
    except (JobError, NotReadyError):
        return
