"""`rlsp launch worker`: further machines of a job."""

from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.command import Commands

app = Commands("Join a job from further machines.")


@app.callback()
def _group() -> None:
    """Keep `worker` a command of its own, though it is the only one."""


@app.command()
def worker(
    run: Annotated[
        Path | None,
        typer.Argument(help="The first machine's run folder, on storage that both see."),
    ] = None,
    stage: Annotated[str, typer.Option(metavar="STAGE", help="The stage that runs there.")] = "sft",
    head: Annotated[
        str | None,
        typer.Option("--join", metavar="HOST:PORT", help="Join this Ray head instead."),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="With --join: GPUs to offer; by default all."),
    ] = None,
) -> None:
    """Join a job that runs on several machines, from each further one.

    For PPO by OpenRLHF on Ray, add the --join HOST:PORT that the first machine
    prints. The head's token is in the run folder; without the folder, set
    RAY_AUTH_TOKEN.

    Example: rlsp launch worker /shared/runs/math/20260101-120000
    """
    from rlsp_cli.errors import UsageError
    from rlsp_cli.launch.observer import Printer

    if run is None and head is None:
        raise UsageError("name a run folder, or the head of a Ray cluster by --join HOST:PORT")

    # Ray's workers wait at its head, those of torchrun at the first machine of the stage.
    if head is not None:
        from rlsp_cli.launch.ray.node import join_cluster

        join_cluster(head, run, gpus, Printer().say)
    elif run is not None:
        from rlsp_cli.launch.torchrun import join

        join(run, stage, Printer())
