"""The batch script of a job on Ray: a head and its workers on the machines of the allocation, then the job's driver."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlsp_cli.recipe.schema import Cluster
from rlsp_cli.share import share

_DRIVER = ("-P", "-m", "rlsp_cli.launch.ray")


def ray_batch_script(
    cluster: Cluster, name: str, python: Sequence[str], ours: str, job: Path, stop_file: Path, env: Mapping[str, str]
) -> str:
    """The script's text. `python` starts the interpreter that has Ray, `ours` is the one that has rlsp.

    The driver of `job`, a job.json, finds the cluster by RAY_ADDRESS, and leaves a checkpoint when `stop_file` appears.
    """
    from jinja2 import Environment, StrictUndefined

    template = (share("templates") / "ray.sbatch.j2").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)  # noqa: S701 (shell)
    start = [*python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    return page.render(
        cluster=cluster,
        slurm=cluster.slurm,
        name=name,
        env={key: shlex.quote(value) for key, value in env.items()},
        dashboard_port=cluster.port + 1 if cluster.port < 65535 else cluster.port - 1,
        start=shlex.join([*start, *([f"--num-gpus={cluster.gpus_per_node}"] if cluster.gpus_per_node else [])]),
        wait=shlex.join([ours, *_DRIVER, "wait"]),
        driver=shlex.join([ours, *_DRIVER, str(job)]),
        stop_file=shlex.quote(str(stop_file)),
    )
