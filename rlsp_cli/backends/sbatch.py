"""The batch script that Slurm runs: the job's command once on every machine of the allocation."""

import shlex
from collections.abc import Mapping, Sequence

from rlsp_cli.recipe.schema import Cluster
from rlsp_cli.share import share

BATCH = "job.sbatch"
_CPUS_PER_GPU = 4
"""What a training process and its data need, and what most clusters have."""
_OWN_CPUS = ("-c", "--cpus-per-task", "--cpus-per-gpu", "--tres-per-task")
"""Options of sbatch that say the same, after which Slurm takes no other."""


def batch_script(cluster: Cluster, name: str, argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The script's text; `$RLSP_HEAD` in a word stands for the first machine."""
    from jinja2 import Environment, StrictUndefined

    template = (share("templates") / "sbatch.j2").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)  # noqa: S701 (shell)
    quoted = {key: shlex.quote(value) for key, value in env.items()}
    words = " ".join(f'"{word}"' if "$RLSP_HEAD" in word else shlex.quote(word) for word in argv)
    cpus = cpus_of(cluster)
    return page.render(
        cluster=cluster, slurm=cluster.slurm, cpus=cpus, name=name, command=words, env=quoted
    )


def cpus_of(cluster: Cluster) -> int | None:
    """CPUs to ask for on each node; None where Slurm's default is taken, or the recipe's options say it."""
    own = any(option.startswith(_OWN_CPUS) for option in cluster.slurm.options)
    return cluster.slurm.cpus or (None if own else _CPUS_PER_GPU * cluster.gpus_per_node or None)
