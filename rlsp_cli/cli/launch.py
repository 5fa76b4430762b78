"""`rlsp launch worker`: further machines of a job."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Processes of a job that other machines run.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `worker` a command of its own, though it is the only one."""


@app.command()
def worker(
    run: Annotated[Path, typer.Argument(help="Run folder of the first machine, on storage that both see.")],
    stage: Annotated[str, typer.Option(help="The stage that runs there.")] = "sft",
) -> None:
    """Join a training that torchrun spreads over machines (cluster.launcher: torchrun). Run it on each further machine.

    Example: rlsp launch worker /shared/runs/math/20260101-120000
    """
    from rlsp_cli.launch.worker import join

    join(run, stage, lambda text: print(text, file=sys.stderr))
