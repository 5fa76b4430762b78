"""The batch script of a job on Ray: a head and its workers on the machines of the allocation, then the job's driver."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlsp_cli.backends.ray_address import SINGLE_MACHINE
from rlsp_cli.backends.sbatch import cpus_of
from rlsp_cli.recipe.schema import Cluster
from rlsp_cli.share import share

_RAY = ("-P", "-m", "rlsp_cli.launch.ray")
_LAST_PORT = 65530


def ray_batch_script(
    cluster: Cluster,
    name: str,
    python: Sequence[str],
    ours: str,
    job: Path,
    stop_file: Path,
    env: Mapping[str, str],
) -> str:
    """The script's text. `python` starts the interpreter that has Ray, `ours` is the one that has rlsp.

    The driver of `job`, a job.json, finds the cluster by RAY_ADDRESS, and leaves a checkpoint when
    `stop_file` appears.
    """
    from jinja2 import Environment, StrictUndefined

    template = (share("templates") / "ray.sbatch.j2").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)  # noqa: S701 (shell)
    start = [*python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    offers = [f"--num-gpus={cluster.gpus_per_node}"] if cluster.gpus_per_node else []
    cpus = cpus_of(cluster)
    offers += [f"--num-cpus={cpus}"] if cpus else []
    next_port = 1 if cluster.port < _LAST_PORT else -1
    return page.render(
        cluster=cluster,
        slurm=cluster.slurm,
        cpus=cpus,
        alone=SINGLE_MACHINE if cluster.nodes == 1 else {},
        token=shlex.join([ours, "-c", "import secrets; print(secrets.token_hex(32))"]),
        name=name,
        env={key: shlex.quote(value) for key, value in env.items()},
        dashboard_port=cluster.port + next_port,
        client_port=cluster.port + 2 * next_port,
        agent_port=cluster.port + 3 * next_port,
        node=shlex.join([ours, *_RAY, "node", *start, "--dashboard-agent-listen-port=0", *offers]),
        wait=shlex.join([ours, *_RAY, "wait"]),
        driver=shlex.join([ours, *_RAY, str(job)]),
        stop_file=shlex.quote(str(stop_file)),
    )
