"""The batch script that Slurm runs: the job's command once on every machine of the allocation."""

import shlex
from collections.abc import Mapping, Sequence

from rlsp_cli.recipe.cluster import Cluster
from rlsp_cli.share import share

BATCH = "job.sbatch"
_CPUS_PER_GPU = 4
"""What a training process and its data need, and what most clusters have."""
_OWN_CPUS = ("-c", "--cpus-per-task", "--cpus-per-gpu", "--tres-per-task")
"""Options of sbatch that ask for CPUs, beside which Slurm takes no other."""


def batch_script(cluster: Cluster, name: str, argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The script's text; `$RLSP_HEAD` in a word stands for the first machine."""
    from jinja2 import Environment, StrictUndefined

    template = (share("templates") / "sbatch.j2").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)  # noqa: S701 (shell)
    return page.render(
        cluster=cluster,
        slurm=cluster.slurm,
        cpus=cpus_of(cluster),
        name=name,
        command=" ".join(map(_quoted, argv)),
        env={key: shlex.quote(value) for key, value in env.items()},
    )


def _quoted(word: str) -> str:
    """A word for the shell, which fills in $RLSP_HEAD on the first machine."""
    return f'"{word}"' if "$RLSP_HEAD" in word else shlex.quote(word)


def cpus_of(cluster: Cluster) -> int | None:
    """CPUs to ask for on each node; None leaves them to Slurm, or to the recipe's own options."""
    if cluster.slurm.cpus:
        return cluster.slurm.cpus
    if any(option.startswith(_OWN_CPUS) for option in cluster.slurm.options):
        return None
    return _CPUS_PER_GPU * cluster.gpus_per_node or None
