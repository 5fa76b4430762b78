"""`rlsp launch worker`: further machines of a job."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Join a job from further machines.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `worker` a command of its own, though it is the only one."""


@app.command()
def worker(
    run: Annotated[
        Path | None,
        typer.Argument(help="Run folder of the first machine, on storage that both see."),
    ] = None,
    stage: Annotated[str, typer.Option(help="The stage that runs there.")] = "sft",
    head: Annotated[
        str | None, typer.Option("--join", help="HOST:PORT of the run's Ray head, to join that.")
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=0, help="With --join: GPUs to offer; all that are here when not given."),
    ] = None,
) -> None:
    """Join a training that is spread over machines; run it on each further one.

    With Ray, for PPO by OpenRLHF, add --join HOST:PORT as the first machine
    says. The run folder holds the token of its head; without the folder the
    token comes from RAY_AUTH_TOKEN.

    Example: rlsp launch worker /shared/runs/math/20260101-120000
    """
    from rlsp_cli.errors import UsageError
    from rlsp_cli.launch.observer import Printer

    if run is None and head is None:
        raise UsageError("name a run folder, or the head of a Ray cluster by --join HOST:PORT")
    if head is not None:
        from rlsp_cli.launch.ray.node import join_cluster

        join_cluster(head, run, gpus, Printer().say)
    elif run is not None:
        from rlsp_cli.launch.torchrun import join

        join(run, stage, Printer())
