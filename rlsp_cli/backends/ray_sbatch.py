"""The batch script of a job on Ray: a head and its workers on all machines, then the driver."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlsp_cli.backends.ray_address import SINGLE_MACHINE
from rlsp_cli.backends.sbatch import cpus_of
from rlsp_cli.recipe.cluster import Cluster
from rlsp_cli.share import share

_RAY = ("-P", "-m", "rlsp_cli.launch.ray")
_LAST_PORT = 65530
"""A head on a later port has its other two ports below it instead of above."""


def ray_batch_script(
    cluster: Cluster,
    name: str,
    python: Sequence[str],
    ours: str,
    job: Path,
    stop_file: Path,
    env: Mapping[str, str],
) -> str:
    """The script's text. `python` starts the interpreter with Ray, `ours` is the one with rlsp.

    The driver of `job`, a job.json, finds the cluster by RAY_ADDRESS, and leaves a checkpoint when
    `stop_file` appears.
    """
    from jinja2 import Environment, StrictUndefined

    template = (share("templates") / "ray.sbatch.j2").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)  # noqa: S701 (shell)
    start = [*python, *_ray_start(cluster)]
    next_port = 1 if cluster.port < _LAST_PORT else -1
    return page.render(
        cluster=cluster,
        slurm=cluster.slurm,
        cpus=cpus_of(cluster),
        alone=SINGLE_MACHINE if cluster.nodes == 1 else {},
        token=shlex.join([ours, "-c", "import secrets; print(secrets.token_hex(32))"]),
        name=name,
        env={key: shlex.quote(value) for key, value in env.items()},
        dashboard_port=cluster.port + next_port,
        client_port=cluster.port + 2 * next_port,
        node=shlex.join([ours, *_RAY, "node", *start]),
        wait=shlex.join([ours, *_RAY, "wait"]),
        driver=shlex.join([ours, *_RAY, str(job)]),
        stop_file=shlex.quote(str(stop_file)),
    )


def _ray_start(cluster: Cluster) -> list[str]:
    """`ray start` with what Slurm gave to the job on a node; Ray would count the whole machine."""
    gpus, cpus = cluster.gpus_per_node, cpus_of(cluster)
    return [
        *("-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
        *([f"--num-gpus={gpus}"] if gpus else []),
        *([f"--num-cpus={cpus}"] if cpus else []),
    ]
