"""The batch script that Slurm runs: the job's command once on every machine of the allocation."""

import shlex
from collections.abc import Mapping, Sequence

from rlsp_cli.recipe.schema import Cluster
from rlsp_cli.share import share

BATCH = "job.sbatch"


def batch_script(cluster: Cluster, name: str, argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The script's text; `$RLSP_HEAD` in a word stands for the first machine."""
    from jinja2 import Environment, StrictUndefined

    template = (share("templates") / "sbatch.j2").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(template)  # noqa: S701 (shell)
    quoted = {key: shlex.quote(value) for key, value in env.items()}
    words = " ".join(f'"{word}"' if "$RLSP_HEAD" in word else shlex.quote(word) for word in argv)
    return page.render(cluster=cluster, slurm=cluster.slurm, name=name, command=words, env=quoted)
