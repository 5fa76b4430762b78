"""The command that starts one training program in several processes, by torchrun or accelerate.

Axolotl's own `axolotl train --launcher` is not used: it adds rendezvous options of its own.
"""

from collections.abc import Sequence

from rlsp_cli.recipe.cluster import Cluster
from rlsp_cli.recipe.issue import Issue

_SLURM_HOST = "$RLSP_HEAD"
"""What the batch script sets to the first machine of the allocation."""


def processes_per_node(cluster: Cluster) -> int:
    """One for each GPU, or one for the CPU."""
    return max(cluster.gpus_per_node, 1)


def launch_command(
    cluster: Cluster, python: Sequence[str], program: Sequence[str], run_id: str
) -> tuple[str, ...]:
    """`python program` on all processes of the cluster; the same command on every machine."""
    several = cluster.nodes * processes_per_node(cluster) > 1
    named = cluster.launcher in ("torchrun", "accelerate")

    # With `use_ray` Axolotl's one process has Ray start the workers.
    if cluster.launcher == "ray" or not (several or named):
        return (*python, *program)
    if cluster.launcher == "accelerate":
        return (*python, *_accelerate(cluster), *program)
    return (*python, *_torchrun(cluster, run_id), *program)


def _accelerate(cluster: Cluster) -> tuple[str, ...]:
    """The launcher of accelerate on this machine.

    Options left out would come from this user's saved `accelerate config`, and a precision saved
    there would train otherwise than the recipe says.
    """
    return (
        *("-m", "accelerate.commands.launch"),
        *("--num_processes", str(processes_per_node(cluster))),
        *("--num_machines", "1"),
        *("--dynamo_backend", "no"),
        *("--mixed_precision", "no"),
        *(() if cluster.gpus_per_node else ("--cpu",)),
        *("--main_process_port", str(cluster.port)),
    )


def _torchrun(cluster: Cluster, run_id: str) -> tuple[str, ...]:
    """The launcher of torch. Machines may start in any order.

    They meet at `cluster.host`, where the first of them opens a store, and start when all are there
    (torchrun's c10d rendezvous), so none has to wait a fixed time.
    """
    # On Slurm the first machine is known only when the batch script runs.
    host = _SLURM_HOST if cluster.launcher == "slurm" else cluster.host or "127.0.0.1"
    patience = cluster.join_timeout_s
    return (
        *("-m", "torch.distributed.run"),
        *("--nnodes", str(cluster.nodes)),
        *("--nproc-per-node", str(processes_per_node(cluster))),
        *("--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", f"{host}:{cluster.port}"),
        *("--rdzv-id", run_id),
        *("--rdzv-conf", f"join_timeout={patience},timeout={patience}"),
    )


def cluster_problem(cluster: Cluster) -> Issue | None:
    """What the launcher cannot do; at most one, because the others follow from it."""
    if cluster.nodes > 1 and cluster.launcher in ("local", "accelerate"):
        message = f"{cluster.launcher} starts processes on one machine only"
        return Issue("cluster.launcher", message, "set it to torchrun, slurm or ray")

    if cluster.nodes > 1 and cluster.launcher == "torchrun" and cluster.host is None:
        message = "several machines need a place to meet"
        return Issue("cluster.nodes", message, "set cluster.host to the first of them")

    if cluster.launcher == "ray" and not cluster.gpus_per_node:
        message = "Axolotl on Ray trains on GPUs only"
        return Issue("cluster.launcher", message, "set cluster.gpus_per_node")
    return None
