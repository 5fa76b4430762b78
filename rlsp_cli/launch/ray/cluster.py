"""The cluster of a job: a running one, or one whose head is started here and ends with us."""

import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.backends.ray_address import SINGLE_MACHINE, RayAddress, head_address, read_ray_address
from rlsp_cli.backends.ray_job import RayJob
from rlsp_cli.child.cause import last_error
from rlsp_cli.child.session import session, short_folder
from rlsp_cli.errors import JobError, NotReadyError
from rlsp_cli.launch.ray.address import LOOPBACK, free_ports, refuse_taken
from rlsp_cli.launch.ray.dashboard import Dashboard
from rlsp_cli.launch.ray.head_token import shared_token, with_token

_HEAD_LOG = "ray_head.log"
_POLL_S = 0.3
_START_S = 180.0
"""The longest that a head takes on a busy machine."""
_RAY_LIMITS = {
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{_START_S:.0f}",
    "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": f"{_START_S:.0f}",
    "RAY_agent_register_timeout_ms": f"{1000 * _START_S:.0f}",
    "RAY_raylet_start_wait_time_s": f"{_START_S:.0f}",
}
"""Limits of Ray's, which by default are too short for a node that starts on a busy machine."""
_AGENT_PORTS = (
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--metrics-export-port",
    "--runtime-env-agent-port",
)
_FIRST_AGENT_PORT, _LAST_AGENT_PORT = 20000, 32000
"""Above the ports of Ray's workers, and below those that Linux gives to outgoing connections."""
_SPARE_CPUS = 2
"""CPUs for actors without a GPU, beside one for each GPU."""


@dataclass(frozen=True)
class RayCluster:
    """A cluster that answers.

    `head` is its process where we started it, and `token` what its dashboard asks for, if anything.
    """

    dashboard: Dashboard
    token: str | None = None
    head: "subprocess.Popen[bytes] | None" = None


@contextmanager
def cluster_of(
    job: RayJob, folder: Path, logs: Path, say: Callable[[str], None]
) -> Iterator[RayCluster]:
    """The running cluster that the job or RAY_ADDRESS names, or else one of our own.

    A cluster of our own ends with the block. `folder` is the stage's, where further machines find
    its token; `logs` is where its head's log is written.
    """
    named, origin = job.address, "cluster.ray_address"
    if not named:
        named, origin = os.environ.get("RAY_ADDRESS"), "RAY_ADDRESS"
    if named:
        yield _running_cluster(named, origin, say)
        return

    token = secrets.token_hex(32)
    with _head(job, token, logs, say) as cluster:
        if job.nodes == 1:
            yield cluster
            return

        # The token stays in the file for as long as the job: a machine may join again.
        with shared_token(token, folder):
            _ask_for_machines(job, cluster, folder, say)
            _await_all(cluster, job.nodes, job.join_timeout_s, logs)
            yield cluster


def _ask_for_machines(
    job: RayJob, cluster: RayCluster, folder: Path, say: Callable[[str], None]
) -> None:
    """Show what to run on the other machines."""
    # The address is what Ray took for its own, which is not always what we would guess.
    host = next(node.ip for node in cluster.dashboard.nodes() if node.is_head)
    others = f"{job.nodes - 1} more of {job.nodes} machines"
    command = f"rlsp launch worker --join {host}:{job.port} {shlex.quote(str(folder.parent))}"
    say(f"waiting {job.join_timeout_s} s for {others}; there: {command}")


def _running_cluster(named: str, origin: str, say: Callable[[str], None]) -> RayCluster:
    """The cluster at an address that `origin` names; NotReadyError when none answers there."""
    address = read_ray_address(named, origin)
    dashboard = _dashboard(address)
    say(f"using the Ray {_version(dashboard, origin)} cluster at {dashboard.url}")
    return RayCluster(dashboard, address.token)


def await_nodes(
    dashboard: Dashboard, count: int, timeout_s: float, alive: Callable[[], bool] = lambda: True
) -> None:
    """Return when the cluster has `count` live nodes; NotReadyError when it has not in time.

    There is no use in waiting when `alive` becomes false.
    """
    deadline, found, reason = time.monotonic() + timeout_s, 0, "no answer"
    while time.monotonic() < deadline and alive():
        # A dashboard that starts refuses connections first, and then fails for some seconds.
        try:
            found = sum(node.alive for node in dashboard.nodes())
            reason = f"{found} of {count} nodes have joined"
        except JobError as error:
            reason = str(error)

        if found >= count:
            return
        time.sleep(_POLL_S)

    waited = timeout_s - max(deadline - time.monotonic(), 0)
    raise NotReadyError(f"no Ray cluster of {count} nodes after {waited:.0f} s: {reason}")


def start_words(python: Sequence[str], *options: str) -> list[str]:
    """The command that turns a machine into a node of a cluster for as long as it runs."""
    # The module, since `python` may be several words, such as those of a container; the script
    # `ray` would start an interpreter of its own choice. Without --block Ray's processes go on
    # when the command has ended, and so would outlive us.
    command = [*python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    return [*command, *agent_options(), *options]


def agent_options() -> list[str]:
    """Options that give free ports of this machine to the agents of a node."""
    # An agent may choose its port itself; but the raylet then ends unless the agent has started
    # within 15 s, and no setting makes that longer. The client server of a head also gives up
    # early. Two nodes that start here at the same time must look in different places.
    span = _LAST_AGENT_PORT - _FIRST_AGENT_PORT
    ports = free_ports(len(_AGENT_PORTS), _FIRST_AGENT_PORT + secrets.randbelow(span))
    return [f"{name}={port}" for name, port in zip(_AGENT_PORTS, ports, strict=True)]


def head_options(port: int, dashboard: int) -> list[str]:
    """Options of a head with these ports."""
    (client,) = free_ports(1, dashboard + 1)
    ports = [f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    return ["--head", f"--port={port}", f"--dashboard-host={LOOPBACK}", *ports]


def node_environment(words: Sequence[str]) -> dict[str, str]:
    """Our variables for the processes of Ray that the command `words` starts."""
    # Ray and vLLM look on PATH for py-spy and ninja, which lie beside their interpreter.
    path = os.environ.get("PATH", os.defpath)
    if Path(words[0]).is_absolute():
        path = os.pathsep.join([str(Path(words[0]).parent), path])

    # RAY_ADDRESS names a cluster of the user's, not the one that this node belongs to.
    ours = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}

    # Limits that the user has set win over those here.
    return {**_RAY_LIMITS, **ours, "PATH": path}


def claimed(gpus: int) -> list[str]:
    """Options of a node that claims so many GPUs, and CPUs enough to place them."""
    return [f"--num-gpus={gpus}", f"--num-cpus={max(os.cpu_count() or 1, gpus + _SPARE_CPUS)}"]


@contextmanager
def running_node(
    words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that makes this machine a node; all of it ends with the block, or with us.

    `environment` is added to our own variables.
    """
    # Ray makes its folder readable to everyone, so it lies in a private one, whose name is short
    # enough for sockets.
    folder = short_folder()
    variables = {**node_environment(words), **(environment or {})}
    with session([*words, f"--temp-dir={folder}/ray"], variables, log, folder) as node:
        yield node


@contextmanager
def _head(job: RayJob, token: str, logs: Path, say: Callable[[str], None]) -> Iterator[RayCluster]:
    """A head of our own that answers, with no nodes but its own yet."""
    refuse_taken(job.port)
    ui = free_ports(1, job.port + 1)[0]
    words = start_words(job.python, *head_options(job.port, ui), *_gpu_options(job))
    log, url = logs / _HEAD_LOG, f"http://{LOOPBACK}:{ui}"
    variables = {**with_token(token), **(SINGLE_MACHINE if job.nodes == 1 else {})}

    say(f"starting a Ray head on port {job.port}; its log is {log}")
    with running_node(words, log, variables) as head:
        cluster = RayCluster(_dashboard(head_address(url, token)), token, head)
        _await_all(cluster, 1, _START_S, logs)

        # Versions that know no tokens ignore the variables without a word.
        if Dashboard(url).is_open():
            say(
                "this version of Ray asks for no token: "
                "anyone who reaches this head's ports can run jobs as you"
            )

        yield cluster


def _dashboard(address: RayAddress) -> Dashboard:
    return Dashboard(address.url, address.headers)


def _gpu_options(job: RayJob) -> list[str]:
    if job.fake_gpus:
        return claimed(job.fake_gpus)
    return [f"--num-gpus={job.gpus_per_node}"] if job.gpus_per_node else []


def _await_all(cluster: RayCluster, nodes: int, timeout_s: float, logs: Path) -> None:
    """Wait for the nodes of a cluster of our own, as long as its head lives."""
    head, log = cluster.head, logs / _HEAD_LOG
    assert head is not None
    try:
        await_nodes(cluster.dashboard, nodes, timeout_s, lambda: head.poll() is None)
    except NotReadyError as error:
        if head.poll() is None:
            raise

        # Why the head has ended says more than that nobody answers.
        reason = last_error(log.read_text(encoding="utf-8", errors="replace"))
        raise NotReadyError(
            f"Ray's head ended with code {head.returncode}: {reason} (more in {log})"
        ) from error


def _version(dashboard: Dashboard, origin: str) -> str:
    try:
        return dashboard.version()
    # Another program may answer at this address, with no JSON or with other keys.
    except (JobError, ValueError, KeyError) as error:
        raise NotReadyError(f"{origin}: no Ray cluster there: {error}") from error
