"""Whether a cluster can place what a job asks for.

Ray lets a placement group that never fits wait for ever, in silence.
"""

import time
from collections.abc import Callable, Sequence

from rlsp_cli.backends.ray_job import RayJob
from rlsp_cli.errors import NotReadyError
from rlsp_cli.launch.ray.dashboard import Dashboard, Node

_POLL_S = 2.0


def refuse_small(job: RayJob, dashboard: Dashboard) -> list[Node]:
    """The live nodes; NotReadyError with a table when they can never hold every placement group."""
    nodes = [node for node in dashboard.nodes() if node.alive]
    total = sum(map(room, nodes))

    if total < job.bundles:
        raise NotReadyError(
            f"it asks Ray for {job.bundles} GPUs with a CPU each, and the cluster can place "
            f"{total} at most; use fewer GPUs, or a larger cluster\n{table(job, nodes)}"
        )
    return nodes


def wait_for_room(job: RayJob, dashboard: Dashboard, say: Callable[[str], None]) -> None:
    """Return when every placement group fits into what is free.

    NotReadyError with a table when the cluster is too small, or is still busy after
    `join_timeout_s`.
    """
    deadline, has_said = time.monotonic() + job.join_timeout_s, False
    while True:
        # Asked anew each time: a node may leave while we wait for another job's GPUs.
        nodes = refuse_small(job, dashboard)
        total, free = sum(map(room, nodes)), sum(map(free_room, nodes))

        if free >= job.bundles:
            return
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"the cluster was busy for {job.join_timeout_s} s: {free} of {total} GPUs with a "
                f"CPU each are free, and the job asks for {job.bundles}\n{table(job, nodes)}"
            )

        if not has_said:
            say(
                f"the cluster is busy: {free} of {job.bundles} GPUs are free; "
                f"waiting {job.join_timeout_s} s for others"
            )
            has_said = True
        time.sleep(_POLL_S)


def room(node: Node) -> int:
    """Bundles of one GPU and one CPU that a node can hold."""
    return int(min(node.gpus, node.cpus))


def free_room(node: Node) -> int:
    """Bundles that a node can hold now."""
    # A node that has just joined has no usage yet; nothing runs on it.
    if node.free_gpus is None or node.free_cpus is None:
        return room(node)
    return int(min(node.free_gpus, node.free_cpus))


def table(job: RayJob, nodes: Sequence[Node]) -> str:
    """Which roles want how many GPUs and CPUs, and what each node has."""
    rows = [("wanted by", "GPUs", "CPUs")]
    for role, gpus in job.placement_groups:
        rows.append((role, str(gpus), str(gpus)))
    rows.append(("together", str(job.bundles), str(job.bundles)))

    rows.append(("available on", "GPUs", "CPUs"))
    for node in nodes:
        rows.append((node.ip, _of(node.free_gpus, node.gpus), _of(node.free_cpus, node.cpus)))

    width = max(len(row[0]) for row in rows)
    return "\n".join(f"  {what:{width}}  {gpus:>10}  {cpus:>10}" for what, gpus, cpus in rows)


def _of(free: float | None, total: float) -> str:
    return f"{total:g}" if free is None or free == total else f"{free:g} of {total:g}"
