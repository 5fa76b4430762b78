"""One training program on several processes: the words that start it with torchrun or accelerate."""

from collections.abc import Sequence

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Cluster

_SLURM_HOST = "$RLSP_HEAD"
"""What the batch script sets to the first machine of the allocation."""


def processes_per_node(cluster: Cluster) -> int:
    """One for each GPU, or one for the CPU."""
    return max(cluster.gpus_per_node, 1)


def launch_command(
    cluster: Cluster, python: Sequence[str], program: Sequence[str], run_id: str
) -> tuple[str, ...]:
    """`python program` on all processes of the cluster; the same words on every machine.

    Machines meet at `cluster.host`, where the first of them opens a store, and start when all are
    there (torchrun's c10d rendezvous), so nobody has to wait a fixed time.
    """
    several = cluster.nodes * processes_per_node(cluster) > 1
    if cluster.launcher == "ray" or not (several or cluster.launcher in ("torchrun", "accelerate")):
        return (*python, *program)
    if cluster.launcher == "accelerate":
        options = [
            "--num_processes",
            str(processes_per_node(cluster)),
            "--num_machines",
            "1",
            "--dynamo_backend",
            "no",
        ]
        device = ["--mixed_precision", "no", *([] if cluster.gpus_per_node else ["--cpu"])]
        port = ["--main_process_port", str(cluster.port)]
        return (*python, "-m", "accelerate.commands.launch", *options, *device, *port, *program)
    host = _SLURM_HOST if cluster.launcher == "slurm" else cluster.host or "127.0.0.1"
    return (
        *(*python, "-m", "torch.distributed.run"),
        *("--nnodes", str(cluster.nodes), "--nproc-per-node", str(processes_per_node(cluster))),
        *(
            "--rdzv-backend",
            "c10d",
            "--rdzv-endpoint",
            f"{host}:{cluster.port}",
            "--rdzv-id",
            run_id,
        ),
        *("--rdzv-conf", f"join_timeout={cluster.join_timeout_s},timeout={cluster.join_timeout_s}"),
        *program,
    )


def cluster_problem(cluster: Cluster) -> Issue | None:
    """What the launcher cannot do."""
    if cluster.nodes > 1 and cluster.launcher in ("local", "accelerate"):
        hint = "set it to torchrun, slurm or ray"
        return Issue(
            "cluster.launcher", f"{cluster.launcher} starts processes on one machine only", hint
        )
    if cluster.nodes > 1 and cluster.launcher == "torchrun" and cluster.host is None:
        return Issue(
            "cluster.nodes",
            "several machines need a place to meet",
            "set cluster.host to the first of them",
        )
    if cluster.launcher == "ray" and not cluster.gpus_per_node:
        return Issue(
            "cluster.launcher", "Axolotl on Ray trains on GPUs only", "set cluster.gpus_per_node"
        )
    return None
